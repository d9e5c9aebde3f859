"""ONNX models of graphs: any outputs, of any number of rows, over arrays that go into the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from isograd import __version__
from isograd.errors import UnsupportedError
from isograd.graph.function import check_array
from isograd.graph.tensor import Array, Tensor, topological
from isograd.onnx.graph import OnnxGraph, library
from isograd.onnx.lowering import LOWERINGS
from isograd.onnx.operations import Operation, Owner, for_any_rows, static

OPSET = 18
"""The oldest operator set in which every reduction takes its axes as an input and ScatterND adds. ONNX
Runtime reads it from release 1.14 on, of 2023; a newer set would exclude runtimes and gain nothing."""
IR_VERSION = 8
"""Of the ONNX release that brought that operator set, 1.13: what such runtimes can read."""
# A model is one protocol buffer, of less than 2**31 bytes; the rest is for the graph.
MAX_BYTES = 2**31 - 2**24

# From a number of rows to the tensors that become outputs: by name, each with the owner of its nodes.
Build = Callable[[int], Mapping[str, tuple[Owner, Tensor]]]


def graph_model(
    build: Build,
    arrays: Mapping[str, Array],
    metadata: Mapping[str, str] | None = None,
    outputs: Sequence[str] | None = None,
) -> Any:
    """The ModelProto of a graph that is built for a number of rows.

    Parameters
    ----------
    build : callable
        From a number of rows to named pairs of an `Owner`, such as a layer, and a Tensor.
    arrays : mapping of name to ndarray
        The variables that become initialisers; all others become inputs, in the order of their names.
    metadata : mapping of str to str, optional
        Goes into the model's metadata_props.
    outputs : sequence of str, optional
        Which of the tensors become outputs; all by default. The others only say what nodes belong to.

    Returns
    -------
    onnx.ModelProto
        Checked by onnx.checker, with shapes inferred.

    Raises
    ------
    UnsupportedError
        If onnx is not installed, a primitive can not be expressed in ONNX, the graph depends on the number of
        rows in another way than by sizes in proportion to it, or the arrays are too large for one model.
    ShapeError, ArgumentTypeError
        If an array is not of its variable's shape or dtype.
    """
    onnx, graph = library(), OnnxGraph()
    results = _operations(build)
    wanted = {name: results[name] for name in (results if outputs is None else outputs)}
    operations = topological(wanted.values())
    _check_size(sum(arrays[_name(op)].nbytes for op in operations if _is_array(op, arrays)))
    for op in operations:
        _lower(graph, op, arrays)
    for name, op in wanted.items():
        graph.nodes.append(onnx.helper.make_node("Identity", [graph.value(op)], [name], name))
    inputs = [op for op in operations if op.primitive == "variable" and not _is_array(op, arrays)]
    made = onnx.helper.make_graph(
        graph.nodes,
        "isograd",
        [graph.info(_name(op), op.dtype, op.shape) for op in sorted(inputs, key=_name)],
        [graph.info(name, op.dtype, op.shape) for name, op in wanted.items()],
        [onnx.numpy_helper.from_array(array, name) for name, array in graph.initializers.items()],
        value_info=list(graph.infos.values()),
    )
    model = onnx.helper.make_model(
        made,
        producer_name="isograd",
        producer_version=__version__,
        ir_version=IR_VERSION,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
    )
    onnx.helper.set_model_props(model, dict(metadata or {}))
    onnx.checker.check_model(model, full_check=True)
    return model


def _operations(build: Build) -> dict[str, Operation]:
    names: list[str] = []

    def graph(rows: int) -> list[tuple[Owner, Tensor]]:
        tensors = build(rows)
        names[:] = tensors
        return list(tensors.values())

    operations = for_any_rows(graph)
    return dict(zip(names, operations, strict=True))


def _lower(graph: OnnxGraph, op: Operation, arrays: Mapping[str, Array]) -> None:
    if op.primitive == "variable":
        if _is_array(op, arrays):
            check_array(f"arrays: {_name(op)}", arrays[_name(op)], tuple(static(op.shape)), op.dtype)
            graph.initializers[_name(op)] = arrays[_name(op)]
        graph.give(op, _name(op))
    elif op.primitive == "constant":
        graph.give(op, graph.constant(op.attributes["value"], op.dtype))
    elif op.primitive not in LOWERINGS:
        raise UnsupportedError(f"{op} can not be exported; ONNX has no operator for it")
    else:
        graph.begin(op.owner.scope)
        graph.settle(op, LOWERINGS[op.primitive](graph, op))


def _name(op: Operation) -> str:
    return str(op.attributes["name"])


def _is_array(op: Operation, arrays: Mapping[str, Array]) -> bool:
    return op.primitive == "variable" and _name(op) in arrays


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise UnsupportedError(
            f"the arrays have {size:,} bytes; one ONNX model, a protocol buffer, holds {MAX_BYTES:,}"
        )
