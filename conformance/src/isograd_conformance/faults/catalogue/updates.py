"""Faults in what is compiled: updates that are not simultaneous, and other roundings than declared."""

from __future__ import annotations

import numpy as np

from isograd import graph as G
from isograd.backend import Backend, Executable
from isograd.graph import FLOATING, Function, Tensor
from isograd.graph.tensor import rebuild
from isograd_conformance.faults.fault import Fault, Witness
from isograd_conformance.faults.rewriting import rebuilt, substituted
from isograd_conformance.faults.witness import bits, ramp, subject, value
from isograd_conformance.faults.wrapping import Arrays, Hosted, HostedExecutable, Made, wrapped_by


class OneAfterAnother(Hosted):
    """Each update is applied before the next one is computed."""

    backwards = False

    def lowered(self, function: Function) -> Function:
        updates: dict[str, Tensor] = {}
        for name in sorted(function.updates, reverse=self.backwards):
            updates[name] = substituted(function.updates[name], updates)
        ordered = {name: updates[name] for name in function.updates}
        return Function(function.inputs, function.outputs, function.state, ordered)


class OneAfterAnotherBackwards(OneAfterAnother):
    backwards = True


class OutputsFromNewState(Hosted):
    """Outputs are computed after the updates were applied."""

    def lowered(self, function: Function) -> Function:
        if function.index_limits.keys() & function.state.keys():
            return function
        outputs = {name: substituted(t, function.updates) for name, t in function.outputs.items()}
        return Function(function.inputs, outputs, function.state, function.updates)


class LastUpdateLost(Hosted):
    """Of several updates the last is not applied."""

    def lowered(self, function: Function) -> Function:
        kept = dict(list(function.updates.items())[: max(1, len(function.updates) - 1)])
        return Function(function.inputs, function.outputs, function.state, kept)


class SinglePrecision(Hosted):
    """Double precision is computed in single precision."""

    def lowered(self, function: Function) -> Function:
        def narrowed(node: Tensor, operands: list[Tensor]) -> Tensor:
            made = rebuild(node, operands)
            narrow = node.dtype == "float64" and node.primitive != "variable"
            return made.cast("float32").cast("float64") if narrow else made

        return rebuilt(function, narrowed)


class Fusing(Hosted):
    """Says that it does not fuse, and rounds a product and a sum once where nobody asks for the product."""

    def compile(self, function: Function, device: str) -> Executable:
        asked = {id(t) for t in (*function.outputs.values(), *function.updates.values())}
        sums = [n for n in function.nodes if n.primitive == "add" and n.dtype in FLOATING]
        fused = any(x.primitive == "mul" and id(x) not in asked for n in sums for x in n.inputs)
        self.kind = _RoundedOnce if fused else HostedExecutable
        return super().compile(function, device)


class _RoundedOnce(HostedExecutable):
    """Every result a last bit nearer to 0, as another rounding may give it."""

    def compute(self, inputs: Arrays, state: Arrays) -> Made:
        outputs, new = super().compute(inputs, state)
        return {
            n: np.nextafter(a, a.dtype.type(0)) if a.dtype.kind == "f" else a for n, a in outputs.items()
        }, new


def backend(kind: type[Hosted], name: str, witness: Witness, *likely: str) -> Fault:
    """A fault of what is compiled."""
    return Fault(name, "execution", wrapped_by(kind), witness, likely)


def _updates(backend: Backend) -> object:
    """The bits of a step that mixes two states and reads both."""
    a, b, x = (G.variable(name, (2,), "float32") for name in "abx")
    updates = {"a": b - x, "b": a + x}
    function = Function({"x": x}, {"sum": a + b * 2 + x}, {"a": a, "b": b}, updates)
    state = {"a": np.asarray([1, 2], "float32"), "b": np.asarray([5, 7], "float32")}
    return bits(backend, function, {"x": ramp(2)}, state)


def _with_and_without_the_product(backend: Backend) -> object:
    """The bits of a sum, alone and beside the product that it is made of."""
    seen = subject(backend)
    x = G.variable("x", (3,), "float32")
    product = x * x
    found = [
        seen.call(seen.compile(Function({"x": x}, outputs)), {"x": ramp(3)}).outputs["y"].tobytes()
        for outputs in ({"y": product + x}, {"y": product + x, "product": product})
    ]
    return found[0] == found[1]


FAULTS: tuple[Fault, ...] = (
    backend(OneAfterAnother, "updates are applied one after another", _updates, "test_updates_come"),
    backend(
        OneAfterAnotherBackwards,
        "updates are applied one after another in reverse",
        _updates,
        "test_updates_come",
    ),
    backend(OutputsFromNewState, "outputs are computed from the new state", _updates, "test_a_function_is"),
    backend(LastUpdateLost, "the last of several updates is lost", _updates, "test_updates_come"),
    backend(
        Fusing,
        "declared not to fuse, but rounds otherwise with what else is asked for",
        _with_and_without_the_product,
        "test_asking",
    ),
    Fault(
        "double precision computed in single precision",
        "execution",
        wrapped_by(SinglePrecision),
        value(lambda x: x * x, [1 / 3, 0.1], dtype="float64"),
        ("float64",),
        frozenset({"float32", "float64"}),
    ),
)
