"""Reductions. PyTorch takes an empty list of axes for all of them; in the graph it is none."""

from __future__ import annotations

import torch

from isograd.graph import FLOATING, Tensor
from isograd_torch.lowering.table import lowers
from isograd_torch.native import NATIVE
from isograd_torch.plan import FRESH, TORCH_DTYPES, Name, Plan


@lowers("reduce_sum")
def _reduce_sum(plan: Plan, node: Tensor) -> Name:
    (x,), axes = node.inputs, node.attributes["axes"]
    if not axes:
        return plan.emit(torch.clone, plan.value(x))
    if node.dtype in FLOATING:
        if id(x) in plan.absorbed:
            return plan.emit(_sum_of_squares, plan.value(x.inputs[0]))
        return plan.emit(torch.sum, plan.value(x), axes)
    return plan.emit(torch.sum, plan.value(x), axes, dtype=TORCH_DTYPES[node.dtype])


def _sum_of_squares(x: torch.Tensor) -> torch.Tensor:
    if not x.is_contiguous() and x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last):
        x = x.permute(0, 2, 3, 1)
    elements = x.reshape(-1)
    return torch.dot(elements, elements)


@lowers("reduce_max")
def _reduce_max(plan: Plan, node: Tensor) -> Name:
    (x,), axes = node.inputs, node.attributes["axes"]
    if plan.native:
        return plan.emit(NATIVE["reduce_max"], plan.value(x), axes)
    return plan.emit(torch.amax, plan.value(x), axes) if axes else plan.emit(torch.clone, plan.value(x))


@lowers("argmax")
def _argmax(plan: Plan, node: Tensor) -> Name:
    at = plan.emit(torch.argmax, plan.value(node.inputs[0]), node.attributes["axis"])
    return plan.emit(torch.Tensor.to, at, torch.int32)


FRESH.update([_sum_of_squares])
