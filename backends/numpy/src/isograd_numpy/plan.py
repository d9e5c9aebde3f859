"""A plan: one Function as a straight line of calls on buffers that are fixed in advance.

Lowering fills it node by node. A node's value is an array whose *logical* shape is the tensor's; how its axes
lie in memory is the plan's business. Images lie with the batch innermost (channel, row, column, image): rows
of patches are then long runs of memory, a convolution's product comes out in the same layout, and flattening
for a fully-connected layer is a view.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from isograd.graph import Function, Tensor
from isograd.graph.uses import Uses

Array = npt.NDArray[Any]
Call = Callable[[], object]

BATCH_INNERMOST = (1, 2, 3, 0)


class Plan(Uses):
    """Buffers and calls of one Function.

    Parameters
    ----------
    function : Function
        Simplified.
    resident : mapping from input name to array
        Inputs bound to the arrays themselves; every other input is a buffer to be filled before each run.

    Attributes
    ----------
    inputs, state : dict from name to ndarray
        Buffers to fill before a run; `state` is updated in place by it.
    outputs : dict from name to ndarray
        Where the results lie after a run.
    calls : list of callables without arguments
    """

    def __init__(self, function: Function, resident: dict[str, Array]) -> None:
        super().__init__(function)
        self.resident = resident
        self.inputs: dict[str, Array] = {}
        self.state: dict[str, Array] = {}
        self.outputs: dict[str, Array] = {}
        self.calls: list[Call] = []
        self.values: dict[int, Array] = {}
        self.absorbed: set[int] = set()  # nodes that have no value of their own: their reader does their work
        self.notes: dict[Any, Any] = {}  # what one lowering leaves for another: shared patches, pooling masks
        self._exclusive: set[int] = set()
        self._alive: list[Any] = []  # products go by address: their arrays must live as long as the plan

    # Calls

    def emit(self, call: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        """Add a call with fixed arguments."""
        self.calls.append(functools.partial(call, *args, **kwargs) if args or kwargs else call)

    def keep(self, *things: Any) -> None:
        """Hold what a call refers to by address alone."""
        self._alive.extend(things)

    def run(self) -> None:
        """One step: every call in order."""
        for call in self.calls:
            call()

    # Values

    def value(self, node: Tensor) -> Array:
        """The array of a node that has been lowered."""
        return self.values[id(node)]

    def own(self, node: Tensor, value: Array) -> Array:
        """Mark the value as a buffer that nothing else looks into: its last reader may overwrite it."""
        self._exclusive.add(id(node))
        return value

    def overwritable(self, node: Tensor, reader: Tensor) -> bool:
        """Whether `reader` may write its result over the value of `node`."""
        return id(node) in self._exclusive and self.sole_consumer(node) is reader

    # Buffers

    def buffer(self, shape: Sequence[int], dtype: Any, order: Sequence[int] | None = None) -> Array:
        """Memory for an array whose axes lie in the given order, the last contiguous; C order by default."""
        if order is None:
            return np.empty(tuple(shape), dtype)
        memory = np.empty([shape[axis] for axis in order], dtype)
        return memory.transpose(np.argsort(order))

    def like(self, node: Tensor, model: Array | None) -> Array:
        """A buffer for the node, its axes in the order in which the model's lie in memory."""
        if model is None or model.ndim != node.ndim:
            return self.buffer(node.shape, node.dtype)
        return self.buffer(node.shape, node.dtype, axis_order(model))

    def elementwise(self, node: Tensor) -> Array:
        """Where to write an elementwise result: over an operand, or into a buffer laid out like one."""
        whole = [x for x in node.inputs if x.primitive not in ("broadcast_to", "constant", "iota")]
        for operand in whole:
            if operand.dtype == node.dtype and self.overwritable(operand, node):
                return self.own(node, self.value(operand))
        model = next(iter(whole), None)
        return self.own(node, self.like(node, None if model is None else self.value(model)))

    def laid_out(self, node: Tensor, order: tuple[int, ...]) -> Array:
        """The node's value with its axes in exactly this order, without gaps; copied once if they are not."""
        value = self.value(node)
        if value.transpose(order).flags.c_contiguous:
            return value
        key = ("layout", id(node), order)
        if key not in self.notes:
            copy = self.buffer(value.shape, value.dtype, order)
            self.emit(np.copyto, copy, value)
            self.notes[key] = copy
        copied: Array = self.notes[key]
        return copied


def axis_order(array: Array) -> tuple[int, ...]:
    """The axes from the largest step in memory to the smallest; those of size 1 or repeated stay in place."""
    steps = [abs(s) if n > 1 else 0 for n, s in zip(array.shape, array.strides, strict=True)]
    moving = sorted((axis for axis, step in enumerate(steps) if step), key=lambda a: (-steps[a], a))
    places = iter(moving)
    return tuple(next(places) if step else axis for axis, step in enumerate(steps))


def flat(array: Array) -> Array | None:
    """The elements as they lie in memory, one after another, or None where there are gaps or repetitions."""
    straight = array.transpose(axis_order(array))
    return straight.reshape(-1) if straight.flags.c_contiguous else None
