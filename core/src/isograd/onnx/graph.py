"""An ONNX graph while it is written: nodes, initialisers, and the value of each operation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from isograd.errors import UnsupportedError
from isograd.graph.tensor import Array
from isograd.onnx.operations import Batch, Operation, Sizes


def library() -> Any:
    """The package onnx.

    Raises
    ------
    UnsupportedError
        If it is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise UnsupportedError(
            'the export needs onnx, which is not installed: pip install "isograd[onnx]"'
        ) from error
    return onnx


class Value(NamedTuple):
    """A result by its name, and its shape, which may still have to be broadcast to the operation's.

    ONNX's elementwise operators broadcast by themselves, so that a `broadcast_to` costs nothing before them.
    """

    name: str
    shape: Sizes


class OnnxGraph:
    """Nodes in the order of computation, to which lowerings add.

    Attributes
    ----------
    nodes : list of NodeProto
    initializers : dict of name to ndarray
    infos : dict of name to ValueInfoProto
        The shape of every operation's value.
    """

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.initializers: dict[str, Array] = {}
        self.infos: dict[str, Any] = {}
        self._helper = library().helper
        self._values: dict[Operation, Value] = {}
        self._constants: dict[Any, str] = {}
        self._rows_of = ""
        self._scope = ""

    def give(self, op: Operation, name: str) -> None:
        """Say that a variable is what has that name: an input, or an initialiser."""
        self._values[op] = Value(name, op.shape)
        if op.shape[:1] == (Batch(1),):
            self._rows_of = name

    def settle(self, op: Operation, result: str | Value) -> None:
        """Keep what a lowering answered for an operation."""
        value = result if isinstance(result, Value) else Value(result, op.shape)
        self._values[op] = value
        if self.nodes and value.name in self.nodes[-1].output:
            self.infos[value.name] = self.info(value.name, op.dtype, value.shape)

    def info(self, name: str, dtype: str, shape: Sizes) -> Any:
        """A ValueInfoProto; the batch is the symbol "batch", or "N*batch"."""
        sizes = [size if isinstance(size, int) else symbol(size) for size in shape]
        return self._helper.make_tensor_value_info(name, self.element_type(dtype), sizes)

    def element_type(self, dtype: str) -> int:
        return int(self._helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def begin(self, scope: str) -> None:
        """Name the nodes that follow after a scope, such as a layer."""
        self._scope = scope

    def node(self, operator: str, *inputs: str, output: int = 0, **attributes: Any) -> str:
        """Add a node; the name of its output of that number, which is its last."""
        name = f"{self._scope}/{operator}_{len(self.nodes)}"
        outputs = [*(f"{name}:{k}" for k in range(output)), name]
        self.nodes.append(self._helper.make_node(operator, inputs, outputs, name, **attributes))
        return name

    def constant(self, value: Any, dtype: str) -> str:
        """The name of an initialiser; equal ones are one."""
        array = np.asarray(value, dtype)
        key = array.dtype.name, array.shape, array.tobytes()
        if key not in self._constants:
            name = f"constant_{len(self._constants)}"
            self._constants[key], self.initializers[name] = name, array
        return self._constants[key]

    def value(self, op: Operation) -> str:
        """The name of an operation's result, broadcast to its shape."""
        name, shape = self._values[op]
        if shape == op.shape:
            return name
        self._values[op] = Value(self.node("Expand", name, self.sizes(op.shape)), op.shape)
        return self._values[op].name

    def values(self, op: Operation) -> list[str]:
        """The names of the results of an operation's operands."""
        return [self.value(x) for x in op.inputs]

    def spread(self, op: Operation) -> Value:
        """An operation's result before it is broadcast."""
        return self._values[op]

    def reshape(self, name: str, shape: Sizes) -> str:
        """A result in another shape: -1 stands for the batch, unless there are no elements at all."""
        if 0 in shape:
            return self.node("Reshape", name, self.sizes(shape), allowzero=1)
        sizes = [size if isinstance(size, int) else -1 for size in shape]
        return self.node("Reshape", name, self.constant(sizes, "int64"))

    def sizes(self, shape: Sizes) -> str:
        """The name of an int64 vector with these sizes, computed from the number of rows where it counts."""
        if all(isinstance(size, int) for size in shape):
            return self.constant(shape, "int64")
        parts: list[str] = []
        static: list[int] = []
        for size in shape:
            if isinstance(size, int):
                static.append(size)
                continue
            parts += [self.constant(static, "int64")] if static else []
            parts.append(self._rows(size))
            static = []
        parts += [self.constant(static, "int64")] if static else []
        return parts[0] if len(parts) == 1 else self.node("Concat", *parts, axis=0)

    def _rows(self, size: Batch) -> str:
        """The name of a vector of one number, so many times the number of rows."""
        if not self._rows_of:
            raise UnsupportedError("no output depends on an input whose first axis is the batch")
        rows = self.node("Shape", self._rows_of, start=0, end=1)
        return rows if size.times == 1 else self.node("Mul", rows, self.constant([size.times], "int64"))


def symbol(size: Batch) -> str:
    return "batch" if size.times == 1 else f"{size.times}*batch"


def broadcast(shapes: Sequence[Sizes]) -> Sizes:
    """The shape that operands of these shapes have together, by NumPy's and ONNX's rules."""
    result: list[int | Batch] = []
    for k in range(1, max(map(len, shapes), default=0) + 1):
        sizes = {shape[-k] for shape in shapes if len(shape) >= k} - {1}
        assert len(sizes) <= 1, "operands of one primitive have one shape"
        result.append(sizes.pop() if sizes else 1)
    return tuple(reversed(result))
