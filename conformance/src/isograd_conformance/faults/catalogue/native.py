"""Faults in native gradients; where a backend has none, the symbolic one stands in for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from isograd import graph as G
from isograd.backend import Backend, Executable
from isograd.errors import ArgumentError
from isograd.graph import Function, Tensor
from isograd_conformance.checks import bytes_of
from isograd_conformance.faults.fault import Apply, Fault, Witness
from isograd_conformance.faults.patching import Patch, all_applied
from isograd_conformance.faults.rewriting import substituted
from isograd_conformance.faults.witness import outcome, ramp
from isograd_conformance.faults.wrapping import Wrapped, WrappedExecutable, wrapped_by
from isograd_conformance.subject import Subject

Gradients = dict[str, Tensor]
Change = Callable[[Function, Gradients], Gradients]


class Native(Wrapped):
    """A backend whose native gradient is the symbolic one, derived by rules with a fault.

    Parameters
    ----------
    inner : Backend
    patches : sequence of Patch
        Of the rules, while the native gradient is derived.
    change : callable, optional
        From the function and its gradients by name to those that are returned.
    checked : bool
        Whether what has no gradient is refused.
    """

    def __init__(
        self,
        inner: Backend,
        patches: Sequence[Patch] = (),
        change: Change = lambda function, gradients: gradients,
        checked: bool = True,
    ) -> None:
        super().__init__(inner, native_gradient=True)
        self._patches, self._change, self._checked = tuple(patches), change, checked

    def compile_native_gradient(
        self, function: Function, cost: str, wrt: Sequence[str], device: str
    ) -> Executable:
        if self._checked or cost not in function.outputs:
            G.check_gradient(function, cost, wrt)
        variables = {**function.inputs, **function.state}
        if missing := [name for name in wrt if name not in variables]:
            raise ArgumentError(f"wrt names {missing}; expected inputs or state")
        with all_applied(self._patches):
            y = function.outputs[cost]
            found = G.vector_jacobian_product(
                y, G.constant(np.ones(y.shape, y.dtype)), [variables[name] for name in wrt]
            )
        gradients = self._change(function, dict(zip(wrt, found, strict=True)))
        outputs = {**function.outputs, **{f"gradient/{name}": g for name, g in gradients.items()}}
        whole = Function(function.inputs, outputs, function.state, function.updates)
        inner = self.inner.compile(whole, device)
        return WrappedExecutable(function, inner.device, inner)


def standing_in(backend: Backend) -> Backend:
    """The backend, with a right native gradient where it has none."""
    return backend if backend.capabilities.native_gradient else Native(backend)


def _exchanged(function: Function, gradients: Gradients) -> Gradients:
    """The gradients of variables of one shape are handed out in reverse."""
    found = dict(gradients)
    for name, g in gradients.items():
        alike = [n for n, other in gradients.items() if other.shape == g.shape]
        found[name] = gradients[alike[len(alike) - 1 - alike.index(name)]]
    return found


def _single(function: Function, gradients: Gradients) -> Gradients:
    return {n: g.cast("float32").cast("float64") if g.dtype == "float64" else g for n, g in gradients.items()}


def _redrawn(function: Function, gradients: Gradients) -> Gradients:
    """Backwards, the mask of each row is the next row's."""
    masks = {n: v for n, v in function.inputs.items() if v.dtype == "bool" and v.ndim and v.shape[0] > 1}
    moved = {name: G.concat(v[1:], v[:1], axis=0) for name, v in masks.items()}
    return {name: substituted(g, moved) for name, g in gradients.items()}


def _of_new_state(function: Function, gradients: Gradients) -> Gradients:
    """Gradients are taken where the updates have led."""
    kept = {name for name in function.updates if name not in function.index_limits}
    return {name: substituted(g, {n: function.updates[n] for n in kept}) for name, g in gradients.items()}


def gradient_of(build: Callable[..., Tensor], *values: object) -> Witness:
    """The native gradients of the sum of a function, rounded to three places."""

    def act(seen: Subject) -> object:
        backend = standing_in(seen.backend)
        arrays = {
            f"x{i}": v if isinstance(v, np.ndarray) else np.asarray(v, "float32")
            for i, v in enumerate(values)
        }
        variables = {n: G.variable(n, a.shape, a.dtype.name) for n, a in arrays.items()}
        state = {n: v for n, v in variables.items() if v.dtype == "float32"}
        inputs = {n: v for n, v in variables.items() if n not in state}
        updates = {n: v * 2.0 for n, v in state.items()}
        y = build(*variables.values())
        function = Function(inputs, {"cost": y.sum() if y.shape else y}, state, updates)
        executable = backend.compile_native_gradient(function, "cost", list(state), seen.device)
        outputs, _ = executable(
            seen.send({n: arrays[n] for n in inputs}), seen.send({n: arrays[n] for n in state})
        )
        gradients = {n: np.round(a, 3) for n, a in seen.fetch(outputs).items() if n != "cost"}
        return {n: bytes_of({n: a + 0})[n] for n, a in gradients.items()}

    return outcome(act)


RULES = "isograd.graph.gradient:"


def rule(name: str, function: str, old: str, new: str, witness: Witness) -> Fault:
    """A fault in the rule of one primitive, natively."""
    patch = Patch(RULES + function, old, new)
    return native(name, wrapped_by(lambda b: Native(b, [patch])), witness)


def native(name: str, apply: Apply, witness: Witness) -> Fault:
    """A fault of native gradients."""
    likely = ("native_gradients", "test_native")
    return Fault(name, "native gradient", apply, witness, likely)


def changed(name: str, change: Change, witness: Witness) -> Fault:
    """A fault in how native gradients are handed out."""
    return native(name, wrapped_by(lambda b: Native(b, change=change)), witness)


def _vector(seen: Subject) -> object:
    x = G.variable("x", (2,), "float32")
    backend = standing_in(seen.backend)
    return backend.compile_native_gradient(Function({"x": x}, {"cost": x}), "cost", ["x"], seen.device).device


MASK = np.asarray([[True, False], [False, False]])

FAULTS: tuple[Fault, ...] = (
    rule(
        "native: relu passes the gradient at 0",
        "_relu",
        "greater(y, 0), g, 0",
        "equal(y, y), g, 0",
        gradient_of(lambda x: G.relu(x), [0.0, -1.0]),
    ),
    rule(
        "native: abs has a slope at 0",
        "_abs",
        "g * p.sign(y.inputs[0])",
        "where(greater(0.0, y.inputs[0]), -g, g)",
        gradient_of(lambda x: G.abs_(x), [0.0, -1.0]),
    ),
    rule(
        "native: a tie of maximum gives to both in full",
        "_maximum",
        "g * 0.5",
        "g * 1.0",
        gradient_of(lambda x: G.maximum(x, 1.0), [1.0, 2.0]),
    ),
    rule(
        "native: a tie of reduce_max gives to all in full",
        "_reduce_max",
        "g / p.reduce_sum(maxima, axes=axes)",
        "g",
        gradient_of(lambda x: x.max(), [1.0, 1.0]),
    ),
    rule(
        "native: tanh with a wrong derivative",
        "_tanh",
        "1 - y * y",
        "1 - y",
        gradient_of(G.tanh, [0.5, -1.0]),
    ),
    rule(
        "native: sigmoid with half its derivative",
        "_sigmoid",
        "(y * (1 - y))",
        "(y * (1 - y)) * 0.5",
        gradient_of(G.sigmoid, [0.5, -1.0]),
    ),
    rule(
        "native: the sign of a subtrahend's gradient",
        "_sub",
        "g, -g",
        "g, g",
        gradient_of(lambda x, y: x - y, [1.0], [2.0]),
    ),
    rule(
        "native: the sign of a divisor's gradient",
        "_div",
        "-(g * y / b)",
        "g * y / b",
        gradient_of(lambda x, y: x / y, [1.0], [2.0]),
    ),
    rule(
        "native: the branches of where exchanged",
        "_where",
        "where(condition, g, 0), where(condition, 0, g)",
        "where(condition, 0, g), where(condition, g, 0)",
        gradient_of(lambda x, y: G.where(G.greater(x, 0), x, y), [1.0, -1.0], [2.0, 3.0]),
    ),
    rule(
        "native: a broadcast gradient not summed",
        "_broadcast_to",
        "p.reduce_sum(g, axes=repeated)",
        "p.reduce_max(g, axes=repeated)",
        gradient_of(lambda x: G.broadcast_to(x, (3, 2)), [1.0, 2.0]),
    ),
    rule(
        "native: logsumexp of nothing but -inf",
        "_logsumexp",
        'where(equal(y, float("-inf")), 0, y)',
        "y",
        gradient_of(lambda x: G.logsumexp(x, axes=0), [-np.inf, -np.inf]),
    ),
    rule(
        "native: stop_gradient ignored",
        "_no_gradient",
        "[None] * len(y.inputs)",
        '[g if y.primitive == "stop_gradient" else None] * len(y.inputs)',
        gradient_of(lambda x: G.stop_gradient(x) * x, [1.0, 2.0]),
    ),
    rule(
        "native: the gradient of a shared value overwritten",
        "_walk",
        "contribution if known is None else p.add(known, contribution)",
        "contribution",
        gradient_of(lambda x: G.exp(x) + x * x, [1.0, 2.0]),
    ),
    rule(
        "native: max pooling gives to the least pixel",
        "_max_pool2d",
        "p.max_pool2d_index(x, **y.attributes)",
        "p.max_pool2d_index(-x, **y.attributes)",
        gradient_of(lambda x: G.max_pool2d(x, window=2), ramp(1, 1, 2, 2)),
    ),
    changed(
        "native: gradients exchanged among variables of one shape",
        _exchanged,
        gradient_of(lambda x, y: x * x * y, [1.0, 2.0], [3.0, 4.0]),
    ),
    changed(
        "native: the mask redrawn in the backward pass",
        _redrawn,
        gradient_of(lambda x, m: x * m.cast("float32"), ramp(2, 2), MASK),
    ),
    changed(
        "native: gradients taken at the new state", _of_new_state, gradient_of(lambda x: x * x, [1.0, 2.0])
    ),
    native(
        "native: a cost that is no number is summed",
        wrapped_by(lambda b: Native(b, checked=False)),
        outcome(_vector),
    ),
)
