"""Faults in the meaning of a primitive: said in the graph language, or by an evaluator on the host."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from isograd import graph as G
from isograd.backend import Array, Backend, Executable
from isograd.graph import Function, Tensor
from isograd.graph.tensor import PRIMITIVES, rebuild, topological
from isograd.interpreter import Interpreter
from isograd_conformance.faults.fault import Apply
from isograd_conformance.faults.wrapping import Arrays, Wrapped, wrapped_by
from isograd_conformance.subject import HostArray

# From the operands and the attributes of a node to what takes its place: a tensor, or its value.
Replace = Callable[..., Tensor]
Evaluator = Callable[..., Any]


def rebuilt(function: Function, change: Callable[[Tensor, list[Tensor]], Tensor]) -> Function:
    """The function with each node changed: `change` gets it and its changed operands."""
    known: dict[int, Tensor] = {}
    for node in function.nodes:
        known[id(node)] = change(node, [known[id(x)] for x in node.inputs])
    outputs, updates = (
        {name: known[id(t)] for name, t in part.items()} for part in (function.outputs, function.updates)
    )
    return Function(function.inputs, outputs, function.state, updates)


def substituted(tensor: Tensor, values: Mapping[str, Tensor]) -> Tensor:
    """The tensor with tensors in place of variables, by their names."""
    known: dict[int, Tensor] = {}
    for node in topological([tensor]):
        operands = [known[id(x)] for x in node.inputs]
        known[id(node)] = values.get(node.name, node) if node.name else rebuild(node, operands)
    return known[id(tensor)]


class Rewritten(Wrapped):
    """A backend that compiles certain nodes as another expression.

    Parameters
    ----------
    inner : Backend
    table : mapping of primitive to callable
        From operands and attributes to the tensor that takes the node's place.
    """

    def __init__(self, inner: Backend, table: Mapping[str, Replace], **capabilities: Any) -> None:
        super().__init__(inner, **capabilities)
        self.table = table

    def lowered(self, function: Function) -> Function:
        return rebuilt(function, self._replaced)

    def _replaced(self, node: Tensor, operands: list[Tensor]) -> Tensor:
        replace = self.table.get(node.primitive)
        if replace is None or node.primitive in ("variable", "constant"):
            return rebuild(node, operands)
        made = replace(*operands, **node.attributes)
        assert (made.shape, made.dtype) == (node.shape, node.dtype), f"{made!r} in place of {node!r}"
        return made


class NodeByNode(Wrapped):
    """A backend that runs functions with certain primitives node by node, those by evaluators on the host.

    Parameters
    ----------
    inner : Backend
    table : mapping of primitive to callable
        From arrays and attributes to the value of the node.
    everything : bool
        Whether functions without these primitives are run node by node as well.
    """

    def __init__(
        self, inner: Backend, table: Mapping[str, Evaluator], everything: bool = False, **capabilities: Any
    ) -> None:
        super().__init__(inner, **capabilities)
        self.table = table
        self.everything = everything
        self._single: dict[str, Executable] = {}

    def compile(self, function: Function, device: str) -> Executable:
        made = super().compile(function, device)
        if not self.everything and not any(node.primitive in self.table for node in function.nodes):
            return made
        device = made.device
        return _Interpreted(
            function,
            device,
            lambda node, *operands: self._value(node, list(operands), device),
            constant=lambda array: self.inner.to_device(array, device),
            to_host=self.to_host,
        )

    def run_steps(
        self, executable: Executable, state: Arrays, resident: Arrays, per_step: Arrays, steps: int
    ) -> tuple[dict[str, HostArray], dict[str, Array]]:
        if isinstance(executable, _Interpreted):
            return Backend.run_steps(self, executable, state, resident, per_step, steps)
        return super().run_steps(executable, state, resident, per_step, steps)

    def execution(self, executable: Executable) -> str:
        return "" if isinstance(executable, _Interpreted) else super().execution(executable)

    def _value(self, node: Tensor, operands: list[Array], device: str) -> Array:
        """The value of one node, on the device."""
        evaluate = self.table.get(node.primitive)
        if evaluate is None:
            return self._alone(node, device)({f"x{i}": x for i, x in enumerate(operands)}, {})[0]["y"]
        with np.errstate(all="ignore"):
            host = [self.inner.to_host(x) for x in operands]
            made = np.asarray(evaluate(*host, **node.attributes)).astype(node.dtype)
        assert made.shape == node.shape, f"an array of shape {made.shape} for {node!r}"
        return self.inner.to_device(made, device)

    def _alone(self, node: Tensor, device: str) -> Executable:
        """The node compiled as a function of its operands."""
        kinds = [(x.shape, x.dtype) for x in node.inputs]
        key = repr((node.primitive, sorted(node.attributes.items()), kinds, device))
        if key not in self._single:
            operands = [G.variable(f"x{i}", *kind) for i, kind in enumerate(kinds)]
            y = PRIMITIVES[node.primitive].build(*operands, **node.attributes)
            function = Function({x.name: x for x in operands}, {"y": y})
            self._single[key] = self.inner.compile(function, device)
        return self._single[key]


class _Interpreted(Interpreter):
    """A function that `NodeByNode` runs, and not the wrapped backend."""


def rewritten(**table: Replace) -> Apply:
    """A fault: nodes of these primitives are compiled as other expressions."""
    return wrapped_by(lambda backend: Rewritten(backend, table))


def evaluated(**table: Evaluator) -> Apply:
    """A fault: nodes of these primitives are evaluated so, on the host."""
    return wrapped_by(lambda backend: NodeByNode(backend, table))
