"""The table: one entry a primitive, of functions that autograd can trace.

Where there is no rule of autograd's own, or one that departs from isograd's conventions (ties, kinks, NaN and
infinities), the function is a primitive of autograd's with a rule given here.
"""

from collections.abc import Callable
from typing import Any

import autograd.numpy as np
import numpy
import numpy.typing as npt
from autograd.extend import defvjp, notrace_primitive, primitive
from autograd.tracer import isbox

from isograd.graph import Tensor
from isograd.graph.windows import plane_indices, window_indices

Array = npt.NDArray[Any]


@numpy.errstate(all="ignore")  # infinities and NaN are values like others
def apply(node: Tensor, *operands: Any) -> Any:
    y = OPERATIONS[node.primitive](*operands, **node.attributes)
    return y if isbox(y) else np.asarray(y)  # a number is an array without axes


@primitive
def added(shape: Any, where: Any, values: Array) -> Array:
    """Zeros to which values are added at indices, one after another where an index is repeated."""
    y = np.zeros(shape, values.dtype)
    numpy.add.at(y, where, values)
    return y


defvjp(added, lambda y, shape, where, values: lambda g: g[where], argnums=(2,))


# By autograd's own rules a number that is spread over no element at all has no gradient, but an error.
broadcast_to = primitive(lambda x, shape: np.broadcast_to(x, shape))


def gathered(g: Array, shape: Any) -> Array:
    """The sum over the axes that were added or spread."""
    added_axes = g.ndim - len(shape)
    spread = (added_axes + a for a, n in enumerate(shape) if n == 1)
    return g.sum((*range(added_axes), *spread)).reshape(shape)


defvjp(broadcast_to, lambda y, x, shape: lambda g: gathered(g, x.shape))


@primitive
def pad(x: Array, low: Any, high: Any, interior: Any, value: Any) -> Array:
    between = [i * max(n - 1, 0) for n, i in zip(x.shape, interior, strict=True)]
    y = np.full(np.add(x.shape, low) + high + between, value, x.dtype)
    y[placed(x.shape, low, interior)] = x
    return y


def placed(shape: Any, low: Any, interior: Any) -> Any:
    return tuple(slice(a, a + n * (i + 1), i + 1) for n, a, i in zip(shape, low, interior, strict=True))


defvjp(pad, lambda y, x, low, high, interior, value: lambda g: g[placed(x.shape, low, interior)])


# As a maximum it would hand half of the gradient on at 0.
relu = primitive(lambda x: np.maximum(x, 0))
defvjp(relu, lambda y, x: lambda g: np.where(y > 0, g, 0))

# autograd's own rule is x / |x|, which is NaN at infinity.
absolute = primitive(lambda x: np.abs(x))
defvjp(absolute, lambda y, x: lambda g: g * np.sign(x))

# The two exponentials overflow at neither end, but their derivatives have a kink at 0.
sigmoid = primitive(lambda x: np.exp(np.minimum(x, 0)) / (1 + np.exp(-abs(x))))
defvjp(sigmoid, lambda y, x: lambda g: g * y * (1 - y))

# autograd's own rule is exp(x - y), which is NaN at infinity.
softplus = primitive(lambda x: np.logaddexp(x, 0))
defvjp(softplus, lambda y, x: lambda g: g * sigmoid(x))


def power(x: Any, exponent: float) -> Any:
    if exponent == 0:
        # Of x, so that there is a gradient, which is 0 everywhere.
        return np.where(True, np.ones_like(x), x)
    # By a whole array: of the scalar 0.5 NumPy takes the square root, which is NaN at -inf.
    return np.power(x[None], np.full_like(x[None], exponent))[0]


reduce_max = primitive(lambda x, axes: np.max(x, axes))


def shared(g: Array, y: Any, x: Array, axes: Any) -> Any:
    """Evenly among tied maxima; a NaN equals nothing and gets none."""
    maxima = x == np.expand_dims(y, axes)
    return np.where(maxima, np.expand_dims(g / maxima.sum(axes), axes), 0)


defvjp(reduce_max, lambda y, x, axes: lambda g: shared(g, y, x, axes))


@primitive
def logsumexp(x: Array, axes: Any) -> Any:
    largest = np.max(x, axes, keepdims=True, initial=-np.inf)
    shift = np.where(np.isfinite(largest), largest, 0)
    return np.log(np.exp(x - shift).sum(axes)) + shift.squeeze(axes)


def softmax(x: Array, y: Any, axes: Any) -> Any:
    """exp(x - y), and 0 where every x is -inf."""
    return np.exp(x - np.expand_dims(np.where(y == -np.inf, 0, y), axes))


defvjp(logsumexp, lambda y, x, axes: lambda g: softmax(x, y, axes) * np.expand_dims(g, axes))


@primitive
def max_pool2d(x: Array, window: Any, stride: Any) -> Any:
    return x[:, :, *window_indices(x.shape[2:], window, stride)].max((4, 5))


def conv2d(x: Array, w: Array, stride: Any, dilation: Any, groups: int) -> Array:
    seen = x[:, :, *window_indices(x.shape[2:], w.shape[2:], stride, dilation)]
    parts = zip(np.split(seen, groups, 1), np.split(w, groups), strict=True)
    return np.concatenate([np.einsum("ncijuv,ocuv->noij", a, b, optimize=True) for a, b in parts], 1)


def conv2d_dx(g: Array, w: Array, input_size: Any, stride: Any, dilation: Any, groups: int) -> Array:
    parts = zip(np.split(g, groups, 1), np.split(w, groups), strict=True)
    seen = np.concatenate([np.einsum("noij,ocuv->ncijuv", a, b, optimize=True) for a, b in parts], 1)
    where = window_indices(input_size, w.shape[2:], stride, dilation)
    return added((*seen.shape[:2], *input_size), numpy.s_[:, :, *where], seen)


def conv2d_dw(x: Array, g: Array, filter_size: Any, stride: Any, dilation: Any, groups: int) -> Array:
    seen = x[:, :, *window_indices(x.shape[2:], filter_size, stride, dilation)]
    parts = zip(np.split(seen, groups, 1), np.split(g, groups, 1), strict=True)
    return np.concatenate([np.einsum("ncijuv,noij->ocuv", a, b, optimize=True) for a, b in parts])


@notrace_primitive
def max_pool2d_index(x: Array, window: Any, stride: Any) -> Any:
    seen = x[:, :, *window_indices(x.shape[2:], window, stride)]
    i, j = numpy.ogrid[: seen.shape[2], : seen.shape[3]]
    u, v = np.divmod(seen.reshape(*seen.shape[:4], window[0] * window[1]).argmax(-1), window[1])
    return ((i * stride[0] + u) * x.shape[3] + j * stride[1] + v).astype("int32")


def unpool2d(g: Any, index: Array, input_size: Any) -> Any:
    return added((*g.shape[:2], *input_size), plane_indices(index, input_size[1]), g)


# Of tied maxima only the first has a gradient.
defvjp(
    max_pool2d,
    lambda y, x, window, stride: lambda g: unpool2d(g, max_pool2d_index(x, window, stride), x.shape[2:]),
)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "reshape": lambda x, shape: x.reshape(shape),
    "transpose": lambda x, axes: x.transpose(axes),
    # autograd's rule wants all axes to be there.
    "broadcast_to": broadcast_to,
    "slice": lambda x, start, stop, step: x[tuple(map(slice, start, stop, step))],
    "pad": pad,
    "concat": lambda *xs, axis: np.concatenate(xs, axis),
    "gather": lambda x, indices: x[indices],
    "scatter_add": lambda x, indices, size: added((size, *x.shape[indices.ndim :]), indices, x),
    "cast": lambda x, dtype: x.astype(dtype),
    "iota": lambda shape, axis, dtype: np.indices(shape, dtype)[axis],
    "stop_gradient": notrace_primitive(lambda x: x),
    "neg": np.negative,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "relu": relu,
    "softplus": softplus,
    "abs": absolute,
    "sign": np.sign,
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "pow": power,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "greater": np.greater,
    "equal": np.equal,
    "where": np.where,
    "reduce_sum": lambda x, axes: x.sum(axes, dtype=x.dtype),
    "reduce_max": reduce_max,
    "argmax": lambda x, axis: x.argmax(axis).astype("int32"),
    "logsumexp": logsumexp,
    "matmul": np.matmul,
    "conv2d": conv2d,
    "conv2d_dx": conv2d_dx,
    "conv2d_dw": conv2d_dw,
    "sum_pool2d": lambda x, window, stride: x[:, :, *window_indices(x.shape[2:], window, stride)].sum((4, 5)),
    "sum_pool2d_t": lambda g, window, stride, input_size: added(
        (*g.shape[:2], *input_size),
        numpy.s_[:, :, *window_indices(input_size, window, stride)],
        np.broadcast_to(g[..., None, None], (*g.shape, *window)),
    ),
    "max_pool2d": max_pool2d,
    "max_pool2d_index": max_pool2d_index,
    "pool_gather2d": lambda x, index: x[plane_indices(index, x.shape[3])],
    "unpool2d": unpool2d,
}
