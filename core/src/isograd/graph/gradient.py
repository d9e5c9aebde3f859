"""The symbolic gradient: one table of rules, one walk backwards; what comes back is graph.

A rule answers, for the result `y` of one primitive and the gradient `g` of the cost with respect to y, the
gradients with respect to y's operands: the vector-Jacobian products. None means that no gradient flows there.
Every rule is made of primitives, so gradients have gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, overload

from isograd.errors import ArgumentError, ArgumentTypeError, ShapeError
from isograd.graph import primitives as p
from isograd.graph.dtypes import FLOATING
from isograd.graph.function import Function
from isograd.graph.operators import broadcast_to, equal, greater, reshape, where
from isograd.graph.primitives import checks
from isograd.graph.tensor import Shape, Tensor, constant, topological

Gradients = Sequence[Tensor | None]
Rule = Callable[[Tensor, Tensor], Gradients]

VJP: dict[str, Rule] = {}
"""The gradient rules, by the name of the primitive."""


def vjp(*names: str) -> Callable[[Rule], Rule]:
    """Enter a rule into the table for the primitives named."""

    def enter(rule: Rule) -> Rule:
        VJP.update(dict.fromkeys(names, rule))
        return rule

    return enter


@overload
def grad(cost: Tensor, wrt: Tensor) -> Tensor: ...
@overload
def grad(cost: Tensor, wrt: Sequence[Tensor]) -> list[Tensor]: ...
def grad(cost: Tensor, wrt: Tensor | Sequence[Tensor]) -> Tensor | list[Tensor]:
    """The gradient of a scalar cost with respect to one tensor or several, as graph.

    Parameters
    ----------
    cost : Tensor
        Floating point, shape ().
    wrt : Tensor or sequence of Tensor
        Floating point, of any shape; inner tensors of the graph are allowed.

    Returns
    -------
    Tensor or list of Tensor
        Of the shape and dtype of `wrt`.

    Raises
    ------
    ShapeError, ArgumentTypeError
        If the cost is no floating-point scalar, or a `wrt` is integer or bool.
    ArgumentError
        If the cost does not depend on a `wrt` through differentiable primitives.
    """
    checks.tensor("grad", "cost", cost)
    if cost.shape != ():
        raise ShapeError(
            f"cost has shape {list(cost.shape)}; a gradient needs a scalar (take .sum() or .mean())"
        )
    return vector_jacobian_product(cost, constant(1, cost.dtype), wrt)


def check_gradient(function: Function, cost: str, wrt: Sequence[str]) -> None:
    """Refuse what has no gradient: for backends, whose frameworks would answer zeros or fail in their way.

    Parameters
    ----------
    function : Function
    cost : str
        An output.
    wrt : sequence of str
        Inputs or state.

    Raises
    ------
    ArgumentError, ArgumentTypeError, ShapeError
        If one of them is unknown, or as `grad` raises.
    """
    variables = function.inputs | function.state
    if cost not in function.outputs:
        raise ArgumentError(f"cost is {cost!r}; expected an output: {', '.join(function.outputs) or 'none'}")
    unknown = [name for name in wrt if name not in variables]
    if unknown:
        raise ArgumentError(
            f"wrt names {', '.join(map(repr, unknown))}; expected inputs or state: {', '.join(variables)}"
        )
    grad(function.outputs[cost], [variables[name] for name in wrt])


@overload
def vector_jacobian_product(y: Tensor, cotangent: Tensor, wrt: Tensor) -> Tensor: ...
@overload
def vector_jacobian_product(y: Tensor, cotangent: Tensor, wrt: Sequence[Tensor]) -> list[Tensor]: ...
@overload
def vector_jacobian_product(
    y: Tensor, cotangent: Tensor, wrt: Tensor | Sequence[Tensor]
) -> Tensor | list[Tensor]: ...
def vector_jacobian_product(
    y: Tensor, cotangent: Tensor, wrt: Tensor | Sequence[Tensor]
) -> Tensor | list[Tensor]:
    """The gradient of sum(cotangent * y) with respect to `wrt`, y of any shape. Raises as `grad` does."""
    targets = [wrt] if isinstance(wrt, Tensor) else list(wrt)
    for target in (y, *targets):
        checks.tensor("grad", "wrt", target)
        if target.dtype not in FLOATING:
            raise ArgumentTypeError(f"{target!r} is {target.dtype}; gradients exist for floating point only")
    checks.same("grad", y, cotangent)
    gradients = _walk(y, cotangent, targets)
    for target in targets:
        if id(target) not in gradients:
            raise ArgumentError(
                f"the cost does not depend on {target!r} through differentiable primitives; "
                "there is no gradient"
            )
    found = [gradients[id(target)] for target in targets]
    return found[0] if isinstance(wrt, Tensor) else found


def _walk(y: Tensor, cotangent: Tensor, targets: Sequence[Tensor]) -> dict[int, Tensor]:
    """Reverse walk over the tensors between y and a target; gradients by the identity of the tensor."""
    order = topological([y])
    between = {id(t) for t in targets}
    for tensor in order:
        if any(id(x) in between for x in tensor.inputs):
            between.add(id(tensor))
    gradients: dict[int, Tensor] = {id(y): cotangent} if id(y) in between else {}
    for tensor in reversed(order):
        g = gradients.get(id(tensor))
        if g is None or not tensor.inputs:
            continue
        for x, contribution in zip(tensor.inputs, VJP[tensor.primitive](tensor, g), strict=True):
            if contribution is not None and id(x) in between:
                known = gradients.get(id(x))
                gradients[id(x)] = contribution if known is None else p.add(known, contribution)
    return gradients


def zeros_like(x: Tensor) -> Tensor:
    """Zeros of x's shape and dtype."""
    return broadcast_to(constant(0, x.dtype), x.shape)


def _expand(x: Tensor, axes: tuple[int, ...], shape: Shape) -> Tensor:
    """x, from which `axes` were reduced, repeated along them again."""
    return broadcast_to(reshape(x, tuple(1 if a in axes else n for a, n in enumerate(shape))), shape)


# Structure


@vjp("reshape")
def _reshape(y: Tensor, g: Tensor) -> Gradients:
    return (reshape(g, y.inputs[0].shape),)


@vjp("transpose")
def _transpose(y: Tensor, g: Tensor) -> Gradients:
    axes = y.attributes["axes"]
    return (p.transpose(g, axes=sorted(range(len(axes)), key=axes.__getitem__)),)


@vjp("broadcast_to")
def _broadcast_to(y: Tensor, g: Tensor) -> Gradients:
    # The one place where broadcasting is undone: what was repeated is summed.
    (x,) = y.inputs
    new = y.ndim - x.ndim
    repeated = [a for a in range(y.ndim) if a < new or (x.shape[a - new] == 1 and y.shape[a] != 1)]
    return (reshape(p.reduce_sum(g, axes=repeated), x.shape),)


@vjp("slice")
def _slice(y: Tensor, g: Tensor) -> Gradients:
    (x,) = y.inputs
    low, step = y.attributes["start"], y.attributes["step"]
    spread = [n + (s - 1) * max(n - 1, 0) for n, s in zip(y.shape, step, strict=True)]
    high = [n - a - k for n, a, k in zip(x.shape, low, spread, strict=True)]
    return (p.pad(g, low=low, high=high, interior=[s - 1 for s in step]),)


@vjp("pad")
def _pad(y: Tensor, g: Tensor) -> Gradients:
    low, high = y.attributes["low"], y.attributes["high"]
    stop = [n - b for n, b in zip(y.shape, high, strict=True)]
    return (p.slice_(g, start=low, stop=stop, step=[i + 1 for i in y.attributes["interior"]]),)


@vjp("concat")
def _concat(y: Tensor, g: Tensor) -> Gradients:
    axis, pieces, at = y.attributes["axis"], [], 0
    for x in y.inputs:
        start, stop = [0] * y.ndim, list(y.shape)
        start[axis], stop[axis] = at, at + x.shape[axis]
        pieces.append(p.slice_(g, start=start, stop=stop, step=[1] * y.ndim))
        at = stop[axis]
    return pieces


@vjp("gather")
def _gather(y: Tensor, g: Tensor) -> Gradients:
    x, indices = y.inputs
    return p.scatter_add(g, indices, size=x.shape[0]), None


@vjp("scatter_add")
def _scatter_add(y: Tensor, g: Tensor) -> Gradients:
    return p.gather(g, y.inputs[1]), None


@vjp("cast")
def _cast(y: Tensor, g: Tensor) -> Gradients:
    (x,) = y.inputs
    return (p.cast(g, dtype=x.dtype) if {x.dtype, y.dtype} <= FLOATING else None,)


@vjp("stop_gradient", "argmax", "max_pool2d_index", "greater", "equal", "iota")
def _no_gradient(y: Tensor, g: Tensor) -> Gradients:
    return [None] * len(y.inputs)


# Elementwise


@vjp("neg")
def _neg(y: Tensor, g: Tensor) -> Gradients:
    return (-g,)


@vjp("exp")
def _exp(y: Tensor, g: Tensor) -> Gradients:
    return (g * y,)


@vjp("log")
def _log(y: Tensor, g: Tensor) -> Gradients:
    return (g / y.inputs[0],)


@vjp("sqrt")
def _sqrt(y: Tensor, g: Tensor) -> Gradients:
    return (g * 0.5 / y,)


@vjp("tanh")
def _tanh(y: Tensor, g: Tensor) -> Gradients:
    return (g * (1 - y * y),)


@vjp("sigmoid")
def _sigmoid(y: Tensor, g: Tensor) -> Gradients:
    return (g * (y * (1 - y)),)


@vjp("relu")
def _relu(y: Tensor, g: Tensor) -> Gradients:
    return (where(greater(y, 0), g, 0),)


@vjp("softplus")
def _softplus(y: Tensor, g: Tensor) -> Gradients:
    return (g * p.sigmoid(y.inputs[0]),)


@vjp("abs")
def _abs(y: Tensor, g: Tensor) -> Gradients:
    return (g * p.sign(y.inputs[0]),)


@vjp("sign")
def _sign(y: Tensor, g: Tensor) -> Gradients:
    return (zeros_like(g),)


@vjp("add")
def _add(y: Tensor, g: Tensor) -> Gradients:
    return g, g


@vjp("sub")
def _sub(y: Tensor, g: Tensor) -> Gradients:
    return g, -g


@vjp("mul")
def _mul(y: Tensor, g: Tensor) -> Gradients:
    a, b = y.inputs
    return g * b, g * a


@vjp("div")
def _div(y: Tensor, g: Tensor) -> Gradients:
    b = y.inputs[1]
    return g / b, -(g * y / b)


@vjp("pow")
def _pow(y: Tensor, g: Tensor) -> Gradients:
    (x,), exponent = y.inputs, y.attributes["exponent"]
    if exponent == 0:  # the formula below would give 0 * inf at x = 0
        return (zeros_like(x),)
    return (g * (exponent * p.pow_(x, exponent=exponent - 1)),)


@vjp("maximum", "minimum")
def _maximum(y: Tensor, g: Tensor) -> Gradients:
    a, b = y.inputs
    larger, smaller = (a, b) if y.primitive == "maximum" else (b, a)
    half = where(equal(a, b), g * 0.5, 0)
    return where(greater(larger, smaller), g, half), where(greater(smaller, larger), g, half)


@vjp("where")
def _where(y: Tensor, g: Tensor) -> Gradients:
    condition = y.inputs[0]
    return None, where(condition, g, 0), where(condition, 0, g)


# Reductions


@vjp("reduce_sum")
def _reduce_sum(y: Tensor, g: Tensor) -> Gradients:
    return (_expand(g, y.attributes["axes"], y.inputs[0].shape),)


@vjp("reduce_max")
def _reduce_max(y: Tensor, g: Tensor) -> Gradients:
    # Chosen, not multiplied: where nothing equals a maximum that is NaN, 0 * inf would depend on the backend.
    (x,), axes = y.inputs, y.attributes["axes"]
    maxima = equal(x, _expand(y, axes, x.shape))
    share = g / p.reduce_sum(p.cast(maxima, dtype=x.dtype), axes=axes)
    return (where(maxima, _expand(share, axes, x.shape), 0),)


@vjp("logsumexp")
def _logsumexp(y: Tensor, g: Tensor) -> Gradients:
    # The softmax; where every x is -inf, subtracting 0 in place of -inf makes it 0 and not NaN.
    (x,), axes = y.inputs, y.attributes["axes"]
    shift = where(equal(y, float("-inf")), 0, y)
    return (p.exp(x - _expand(shift, axes, x.shape)) * _expand(g, axes, x.shape),)


# Contractions


@vjp("matmul")
def _matmul(y: Tensor, g: Tensor) -> Gradients:
    a, b = y.inputs
    swap = (*range(a.ndim - 2), a.ndim - 1, a.ndim - 2)
    return p.matmul(g, p.transpose(b, axes=swap)), p.matmul(p.transpose(a, axes=swap), g)


def _convolution(y: Tensor) -> dict[str, Any]:
    return {name: y.attributes[name] for name in ("stride", "dilation", "groups")}


@vjp("conv2d")
def _conv2d(y: Tensor, g: Tensor) -> Gradients:
    x, w = y.inputs
    return (
        p.conv2d_dx(g, w, input_size=x.shape[2:], **_convolution(y)),
        p.conv2d_dw(x, g, filter_size=w.shape[2:], **_convolution(y)),
    )


@vjp("conv2d_dx")
def _conv2d_dx(y: Tensor, h: Tensor) -> Gradients:
    g, w = y.inputs
    return (
        p.conv2d(h, w, **_convolution(y)),
        p.conv2d_dw(h, g, filter_size=w.shape[2:], **_convolution(y)),
    )


@vjp("conv2d_dw")
def _conv2d_dw(y: Tensor, h: Tensor) -> Gradients:
    x, g = y.inputs
    return (
        p.conv2d_dx(g, h, input_size=x.shape[2:], **_convolution(y)),
        p.conv2d(x, h, **_convolution(y)),
    )


# Pooling


@vjp("sum_pool2d")
def _sum_pool2d(y: Tensor, g: Tensor) -> Gradients:
    return (p.sum_pool2d_t(g, input_size=y.inputs[0].shape[2:], **y.attributes),)


@vjp("sum_pool2d_t")
def _sum_pool2d_t(y: Tensor, g: Tensor) -> Gradients:
    return (p.sum_pool2d(g, window=y.attributes["window"], stride=y.attributes["stride"]),)


@vjp("max_pool2d")
def _max_pool2d(y: Tensor, g: Tensor) -> Gradients:
    (x,) = y.inputs
    return (p.unpool2d(g, p.max_pool2d_index(x, **y.attributes), input_size=x.shape[2:]),)


@vjp("pool_gather2d")
def _pool_gather2d(y: Tensor, g: Tensor) -> Gradients:
    x, index = y.inputs
    return p.unpool2d(g, index, input_size=x.shape[2:]), None


@vjp("unpool2d")
def _unpool2d(y: Tensor, g: Tensor) -> Gradients:
    return p.pool_gather2d(g, y.inputs[1]), None
