"""Primitives that move elements: views where PyTorch has them."""

from __future__ import annotations

import operator

import numpy as np
import torch

from isograd.graph import Tensor
from isograd_torch.lowering.contraction import emit_cut_gradient
from isograd_torch.lowering.table import lowers
from isograd_torch.plan import Name, Plan


@lowers("reshape")
def _reshape(plan: Plan, node: Tensor) -> Name:
    return plan.emit(torch.reshape, plan.value(node.inputs[0]), node.shape)


@lowers("transpose")
def _transpose(plan: Plan, node: Tensor) -> Name:
    x, axes = plan.value(node.inputs[0]), node.attributes["axes"]
    return plan.emit(torch.t, x) if axes == (1, 0) else plan.emit(torch.permute, x, axes)


@lowers("broadcast_to")
def _broadcast_to(plan: Plan, node: Tensor) -> Name:
    (x,) = node.inputs
    if x.primitive == "constant":
        return plan.array(np.broadcast_to(x.attributes["value"], node.shape))
    return plan.emit(torch.broadcast_to, plan.value(node.inputs[0]), node.shape)


@lowers("slice")
def _slice(plan: Plan, node: Tensor) -> Name:
    if id(node.inputs[0]) in plan.absorbed:
        return emit_cut_gradient(plan, node)
    a = node.attributes
    slices = tuple(map(slice, a["start"], a["stop"], a["step"]))
    return plan.emit(operator.getitem, plan.value(node.inputs[0]), plan.bind(slices))


@lowers("pad")
def _pad(plan: Plan, node: Tensor) -> Name:
    x, a = plan.value(node.inputs[0]), node.attributes
    if not any(a["interior"]):
        amounts = [n for pair in zip(a["low"][::-1], a["high"][::-1], strict=True) for n in pair]
        return plan.emit(torch.constant_pad_nd, x, amounts, a["value"])
    spans = tuple(
        slice(low, n - high, interior + 1)
        for low, high, interior, n in zip(a["low"], a["high"], a["interior"], node.shape, strict=True)
    )
    return plan.emit(_spread, x, node.shape, plan.bind(spans), a["value"])


def _spread(
    x: torch.Tensor, shape: tuple[int, ...], spans: tuple[slice, ...], value: bool | int | float
) -> torch.Tensor:
    """A tensor of `value` with x in these places."""
    y = x.new_full(shape, value)
    y[spans] = x
    return y


@lowers("concat")
def _concat(plan: Plan, node: Tensor) -> Name:
    return plan.emit(torch.cat, [plan.value(x) for x in node.inputs], node.attributes["axis"])


@lowers("gather")
def _gather(plan: Plan, node: Tensor) -> Name:
    x, indices = (plan.value(t) for t in node.inputs)
    if node.inputs[1].ndim == 1:
        return plan.emit(torch.index_select, x, 0, indices)
    rows = plan.emit(torch.index_select, x, 0, plan.emit(torch.reshape, indices, (-1,)))
    return plan.emit(torch.reshape, rows, node.shape)


@lowers("scatter_add")
def _scatter_add(plan: Plan, node: Tensor) -> Name:
    updates, indices = node.inputs
    rows = plan.emit(torch.reshape, plan.value(updates), (indices.size, *node.shape[1:]))
    flat = plan.emit(torch.reshape, plan.value(indices), (-1,))
    return plan.emit(_add_rows, rows, flat, node.shape)


def _add_rows(rows: torch.Tensor, indices: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.index_add(rows.new_zeros(shape), 0, indices, rows)


@lowers("iota")
def _iota(plan: Plan, node: Tensor) -> Name:
    axis = node.attributes["axis"]
    sizes = [n if a == axis else 1 for a, n in enumerate(node.shape)]
    along = np.arange(node.shape[axis], dtype=node.dtype).reshape(sizes)
    return plan.array(np.broadcast_to(along, node.shape))
