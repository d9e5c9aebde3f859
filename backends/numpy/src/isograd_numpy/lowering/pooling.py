"""Pooling by strided views of whole batches: one call for each element of the window, none for each pixel.

Windows that do not overlap (the usual case) need no indices: where the gradient goes is decided by comparing
row maxima and elements with what was pooled, first come first served, as the specification orders ties.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from isograd.graph import Tensor
from isograd_numpy.lowering.reduction import emit_sum
from isograd_numpy.lowering.table import lowers
from isograd_numpy.plan import BATCH_INNERMOST, Plan, axis_order

Array = npt.NDArray[Any]


def _views(
    x: Array, window: tuple[int, int], stride: tuple[int, int], size: tuple[int, ...]
) -> list[list[Array]]:
    """For each element (dy, dx) of the window its view of x: one element for each output pixel."""

    def span(first: int, count: int, step: int) -> slice:
        return slice(first, first + step * (count - 1) + 1, step)

    return [
        [x[:, :, span(dy, size[0], stride[0]), span(dx, size[1], stride[1])] for dx in range(window[1])]
        for dy in range(window[0])
    ]


@dataclass
class _Pooled:
    """What max pooling of one tensor leaves for its index and its gradient.

    `total` is the sum of all pooled values: NaN exactly when ties and comparisons need the careful way.
    """

    values: Array
    rows: list[Array] = field(default_factory=list)
    total: Array | None = None


def _max_pooled(plan: Plan, x: Tensor, node: Tensor) -> _Pooled:
    key = ("max_pool", id(x), node.attributes["window"], node.attributes["stride"])
    if key in plan.notes:
        found: _Pooled = plan.notes[key]
        return found
    source = plan.value(x)
    views = _views(source, node.attributes["window"], node.attributes["stride"], node.shape[2:])
    rows = []
    for line in views:
        best = plan.buffer(node.shape, x.dtype, axis_order(source)) if len(line) > 1 else line[0]
        _emit_maximum(plan, line, best)
        rows.append(best)
    # Never a view of x, not even for windows of one element: x may be state that is overwritten later.
    made = len(rows) == 1 and rows[0] is not views[0][0]
    values = rows[0] if made else plan.buffer(node.shape, x.dtype, axis_order(source))
    _emit_maximum(plan, rows, values)
    plan.notes[key] = _Pooled(values, rows)
    return plan.notes[key]  # type: ignore[no-any-return]


def _emit_maximum(plan: Plan, parts: list[Array], out: Array) -> None:
    best = parts[0]
    if len(parts) == 1 and best is not out:
        plan.emit(np.copyto, out, best)
    for part in parts[1:]:
        plan.emit(np.maximum, best, part, out=out)
        best = out


@lowers("max_pool2d")
def _max_pool2d(plan: Plan, node: Tensor) -> Array:
    return _max_pooled(plan, node.inputs[0], node).values


@lowers("max_pool2d_index")
def _max_pool2d_index(plan: Plan, node: Tensor) -> Array:
    """Written from the last element of the window to the first, so that the first of equals remains."""
    (x,), window, stride = node.inputs, node.attributes["window"], node.attributes["stride"]
    pooled, source = _max_pooled(plan, x, node), plan.value(x)
    index = plan.buffer(node.shape, "int32", axis_order(source))
    mark = plan.buffer(node.shape, "bool", axis_order(source))
    missing = plan.buffer(node.shape, "bool", axis_order(source))
    views = _views(source, window, stride, node.shape[2:])
    for dy in reversed(range(window[0])):
        for dx in reversed(range(window[1])):
            plan.emit(np.equal, views[dy][dx], pooled.values, mark)
            plan.emit(np.isnan, views[dy][dx], missing)
            plan.emit(np.logical_or, mark, missing, mark)
            place = _plane_index(node.shape, x.shape[3], stride, dy, dx)
            plan.emit(np.copyto, index, place, where=mark)
    return plan.own(node, index)


def _plane_index(size: tuple[int, ...], width: int, stride: tuple[int, int], dy: int, dx: int) -> Array:
    """The index within its plane of element (dy, dx) of each window."""
    rows = np.arange(size[2], dtype="int32")[:, None] * stride[0] + dy
    columns = np.arange(size[3], dtype="int32") * stride[1] + dx
    return np.broadcast_to(rows * np.int32(width) + columns, size)


@lowers("pool_gather2d")
def _pool_gather2d(plan: Plan, node: Tensor) -> Array:
    x, index = (plan.value(operand) for operand in node.inputs)
    y = plan.buffer(node.shape, node.dtype)
    plan.emit(_take_along_planes, x, index, y)
    return plan.own(node, y)


def _take_along_planes(x: Array, index: Array, y: Array) -> None:
    y[...] = x[_elements(x, index)]


def _elements(x: Array, index: Array) -> tuple[Array, ...]:
    """What to index x with, to meet the elements that an index into its planes names."""
    image, channel = np.ogrid[: x.shape[0], : x.shape[1]]
    width = x.shape[3]
    return image[..., None, None], channel[..., None, None], index // width, index % width


def needs_no_index(plan: Plan, node: Tensor) -> bool:
    """Whether this is the index of windows apart, read only by unpoolings that do without it."""
    if node.primitive != "max_pool2d_index" or node.attributes["window"] != node.attributes["stride"]:
        return False
    if id(node) in plan.results:
        return False
    size = node.inputs[0].shape[2:]
    return all(
        reader.primitive == "unpool2d"
        and reader.attributes["input_size"] == size
        and reader.inputs[1] is node
        for reader in plan.consumers[id(node)]
    )


@lowers("unpool2d")
def _unpool2d(plan: Plan, node: Tensor) -> Array:
    g, index = node.inputs
    if id(index) in plan.absorbed:
        return _unpool_by_comparison(plan, node, g, index)
    x = plan.buffer(node.shape, node.dtype, BATCH_INNERMOST)
    plan.emit(x.fill, 0)
    if index.primitive == "max_pool2d_index" and index.inputs[0].shape[2:] == node.shape[2:]:
        _unpool_by_window(plan, x, plan.value(g), plan.value(index), index)
    else:
        plan.emit(_add_at_planes, x, plan.value(index), plan.value(g))
    return plan.own(node, x)


def _add_at_planes(x: Array, index: Array, g: Array) -> None:
    np.add.at(x, _elements(x, index), g)


def _unpool_by_window(plan: Plan, x: Array, g: Array, index: Array, pool: Tensor) -> None:
    """Overlapping windows: for each element of the window, gradients whose maximum lies there are added."""
    window, stride = pool.attributes["window"], pool.attributes["stride"]
    mark = plan.buffer(index.shape, "bool", axis_order(index))
    part = plan.buffer(g.shape, g.dtype, axis_order(index))
    for dy, line in enumerate(_views(x, window, stride, pool.shape[2:])):
        for dx, view in enumerate(line):
            plan.emit(np.equal, index, _plane_index(pool.shape, x.shape[3], stride, dy, dx), mark)
            plan.emit(_where_marked, g, mark, part)
            plan.emit(np.add, view, part, view)


def _where_marked(g: Array, mark: Array, out: Array) -> None:
    out.fill(0)
    np.copyto(out, g, where=mark)


def _unpool_by_comparison(plan: Plan, node: Tensor, g: Tensor, index: Tensor) -> Array:
    """The gradient handed down in two steps, to a row of each window and to an element of that row.

    It is moved as integers: multiplied by 0 or 1 and subtracted, every bit of it arrives in one place.
    """
    (source,) = index.inputs
    window, stride = index.attributes["window"], index.attributes["stride"]
    pooled, integer = _max_pooled(plan, source, index), np.dtype(f"int{8 * np.dtype(node.dtype).itemsize}")
    if pooled.total is None:
        pooled.total = plan.buffer((), node.dtype)
        emit_sum(plan, pooled.values, (0, 1, 2, 3), pooled.total)
    x = plan.buffer(node.shape, node.dtype, axis_order(plan.value(source)))
    x.fill(0)  # a border that no window covers stays zero for ever
    gradient = plan.laid_out(g, axis_order(pooled.values)).view(integer)
    elements = _views(plan.value(source), window, stride, index.shape[2:])
    targets = _views(x.view(integer), window, stride, index.shape[2:])
    marks = _Marks(plan, pooled.values, pooled.total, integer)
    by_row = [gradient]
    if window[0] > 1:
        by_row = [plan.buffer(index.shape, integer, axis_order(pooled.values)) for _ in pooled.rows]
    marks.emit_shares(gradient, pooled.rows, pooled.values, by_row)
    for row, share in enumerate(by_row):
        marks.emit_shares(share, elements[row], pooled.rows[row], targets[row])
    return plan.own(node, x) if x.size == int(np.prod(index.shape)) * window[0] * window[1] else x


class _Marks:
    """Shares out integers: to the first part that equals the whole, in order."""

    def __init__(self, plan: Plan, model: Array, total: Array, integer: Any) -> None:
        self.plan = plan
        self.total = total
        self.mark = plan.buffer(model.shape, "bool", axis_order(model))
        self.chosen = plan.buffer(model.shape, integer, axis_order(model))

    def emit_shares(self, gradient: Array, parts: list[Array], whole: Array, shares: list[Array]) -> None:
        rest = gradient
        for part, share in zip(parts[:-1], shares[:-1], strict=True):
            self.plan.emit(_mark_first, part, whole, self.mark, self.total)
            self.plan.emit(np.copyto, self.chosen, self.mark)
            self.plan.emit(np.multiply, rest, self.chosen, share)
            self.plan.emit(np.subtract, rest, share, shares[-1])
            rest = shares[-1]
        if len(parts) == 1 and shares[0] is not gradient:
            self.plan.emit(np.copyto, shares[0], gradient)


def _mark_first(part: Array, whole: Array, mark: Array, total: Array) -> None:
    np.equal(part, whole, mark)
    if total != total:  # a NaN, or infinities of both signs: a NaN counts as the maximum
        np.logical_or(mark, np.isnan(part), mark)


@lowers("sum_pool2d")
def _sum_pool2d(plan: Plan, node: Tensor) -> Array:
    x, a = plan.value(node.inputs[0]), node.attributes
    y = plan.buffer(node.shape, node.dtype, axis_order(x))
    first, *others = chain.from_iterable(_views(x, a["window"], a["stride"], node.shape[2:]))
    plan.emit(np.copyto, y, first)
    for view in others:
        plan.emit(np.add, y, view, y)
    return plan.own(node, y)


@lowers("sum_pool2d_t")
def _sum_pool2d_t(plan: Plan, node: Tensor) -> Array:
    g, a = plan.value(node.inputs[0]), node.attributes
    x = plan.buffer(node.shape, node.dtype, axis_order(g))
    plan.emit(x.fill, 0)
    for view in chain.from_iterable(_views(x, a["window"], a["stride"], g.shape[2:])):
        plan.emit(np.add, view, g, view)
    return plan.own(node, x)
