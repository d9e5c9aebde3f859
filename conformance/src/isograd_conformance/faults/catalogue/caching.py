"""Faults in what is taken for the same: compiled functions kept under a key that leaves something out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from isograd import graph as G
from isograd.backend import Backend, Executable
from isograd.graph import Function
from isograd_conformance.faults.fault import Fault, Witness
from isograd_conformance.faults.witness import ramp, subject
from isograd_conformance.faults.wrapping import Hosted, HostedExecutable, wrapped_by

Key = Callable[[Function], Any]


class Cached(Hosted):
    """Keeps what it compiles.

    Parameters
    ----------
    inner : Backend
    key : callable
        What is taken to make functions the same.
    """

    def __init__(self, inner: Backend, key: Key) -> None:
        super().__init__(inner)
        self._key = key
        self._kept: dict[Any, Executable] = {}

    def compile(self, function: Function, device: str) -> Executable:
        made = super().compile(function, device)
        assert isinstance(made, HostedExecutable)
        made.inner = self._kept.setdefault((self._key(function), device), made.inner)
        return made


def _interface(function: Function) -> Any:
    parts = (function.inputs, function.outputs, function.state, function.updates)
    return [[(name, t.shape, t.dtype) for name, t in part.items()] for part in parts]


def _graph(function: Function, kept: Callable[[G.Tensor, str, Any], bool]) -> Any:
    """The graph node by node, with those attributes that are kept."""
    numbers = {id(node): i for i, node in enumerate(function.nodes)}
    nodes = [
        (
            node.primitive,
            [numbers[id(x)] for x in node.inputs],
            [(k, repr(v)) for k, v in sorted(node.attributes.items()) if kept(node, k, v)],
        )
        for node in function.nodes
    ]
    results = [numbers[id(t)] for t in (*function.outputs.values(), *function.updates.values())]
    return repr((_interface(function), nodes, results))


def _shapes(function: Function) -> Any:
    return repr(_interface(function))


def _without_constants(function: Function) -> Any:
    return _graph(function, lambda node, name, value: node.primitive != "constant")


def _without_attributes(function: Function) -> Any:
    return _graph(function, lambda node, name, value: node.primitive in ("constant", "variable"))


def _rounded_attributes(function: Function) -> Any:
    """Numbers among the attributes count as equal where their whole parts are."""
    text = _graph(function, lambda node, name, value: not isinstance(value, float))
    return text, tuple(int(v) for n in function.nodes for v in n.attributes.values() if isinstance(v, float))


def _without_operands(function: Function) -> Any:
    """Which primitives there are counts, not what they are applied to."""
    return repr((_interface(function), sorted((n.primitive, repr(n.attributes)) for n in function.nodes)))


def two(first: Callable[..., G.Tensor], second: Callable[..., G.Tensor]) -> Witness:
    """Two functions of the same operands, one compiled after the other: whether the second is itself."""

    def look(backend: Backend) -> object:
        seen = subject(backend)
        x, y = (G.variable(name, (3, 3), "float32") for name in "xy")
        inputs = {"x": ramp(3, 3), "y": ramp(3, 3) - 1}
        found = []
        for build in (first, second):
            executable = seen.compile(Function({"x": x, "y": y}, {"z": build(x, y)}))
            found.append(np.round(seen.call(executable, inputs).outputs["z"], 3).tolist())
        return found[0] == found[1]

    return look


def cached(key: Key, name: str, witness: Witness) -> Fault:
    """A fault of a cache."""
    return Fault(
        name, "cache", wrapped_by(lambda b: Cached(b, key)), witness, ("differ_in_one", "test_updates")
    )


FAULTS: tuple[Fault, ...] = (
    cached(_shapes, "compiled functions kept by shapes alone", two(lambda x, y: x + y, lambda x, y: x * y)),
    cached(
        _without_constants,
        "compiled functions kept without their constants",
        two(lambda x, y: x * 0.5 + y, lambda x, y: x * 0.25 + y),
    ),
    cached(
        _without_attributes,
        "compiled functions kept without their attributes",
        two(lambda x, y: x.transpose(0, 1) + y, lambda x, y: x.transpose(1, 0) + y),
    ),
    cached(
        _rounded_attributes,
        "compiled functions kept with rounded attributes",
        two(lambda x, y: (x * x) ** 0.5 + y, lambda x, y: (x * x) ** 0.25 + y),
    ),
    cached(
        _without_operands,
        "compiled functions kept without what their nodes are applied to",
        two(lambda x, y: x - y, lambda x, y: y - x),
    ),
)
