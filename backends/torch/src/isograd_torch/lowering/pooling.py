"""Pooling. PyTorch's max-pool index counts as isograd's, but names a window's last NaN and not its first."""

from __future__ import annotations

import math
from typing import Any

import torch

from isograd.graph import Tensor
from isograd_torch.lowering.table import lowers
from isograd_torch.native import NATIVE
from isograd_torch.plan import FRESH, Name, Plan

_aten = torch.ops.aten
_NO_PADDING, _NO_DILATION = (0, 0), (1, 1)


def _empty(plan: Plan, node: Tensor, dtype: torch.dtype | None = None) -> Name | None:
    """Zeros where there is no image at all, which PyTorch refuses to pool."""
    if node.size:
        return None
    like = plan.value(node.inputs[0])
    return plan.emit(torch.Tensor.new_zeros, like, node.shape, dtype=dtype)


@lowers("sum_pool2d")
def _sum_pool2d(plan: Plan, node: Tensor) -> Name:
    a = node.attributes
    return _empty(plan, node) or plan.emit(
        torch.ops.aten.avg_pool2d, plan.value(node.inputs[0]), a["window"], a["stride"],
        _NO_PADDING, False, True, 1,
    )  # fmt: skip


@lowers("sum_pool2d_t")
def _sum_pool2d_t(plan: Plan, node: Tensor) -> Name:
    a = node.attributes
    return _empty(plan, node) or plan.emit(
        _sum_pool_gradient, plan.value(node.inputs[0]), node.shape, a["window"], a["stride"]
    )


def _sum_pool_gradient(g: torch.Tensor, shape: tuple[int, ...], window: Any, stride: Any) -> torch.Tensor:
    x = torch.empty(shape, dtype=g.dtype, device=g.device)  # only its shape is used
    made: torch.Tensor = _aten.avg_pool2d_backward(g, x, window, stride, _NO_PADDING, False, True, 1)
    return made


@lowers("max_pool2d")
def _max_pool2d(plan: Plan, node: Tensor) -> Name:
    return _empty(plan, node) or _pooled(plan, node)[0]


@lowers("max_pool2d_index")
def _max_pool2d_index(plan: Plan, node: Tensor) -> Name:
    return _empty(plan, node, torch.int32) or plan.emit(torch.Tensor.to, _pooled(plan, node)[1], torch.int32)


def _pooled(plan: Plan, node: Tensor) -> tuple[Name, Name]:
    """Maxima and int64 indices, made in one call for all who read either."""
    (x,), window, stride = node.inputs, node.attributes["window"], node.attributes["stride"]
    key = (id(x), window, stride)

    def emit() -> Name:
        if plan.native:
            function = NATIVE["max_pool2d"]
        else:
            function = _max_pool_cpu if plan.device == "cpu" else max_pool
        maxima, index = plan.emit_several(2, function, plan.value(x), window, stride)
        plan.note(("pool index", key), lambda: index)
        return maxima

    return plan.note(("pool", key), emit), plan.noted(("pool index", key))


def max_pool(x: torch.Tensor, window: Any, stride: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Maxima and int64 indices as isograd defines them, without waiting for the device."""
    maxima, index = _aten.max_pool2d_with_indices(x, window, stride)
    return maxima, torch.where(torch.isnan(maxima), _first_nan(x, window, stride), index)


def _max_pool_cpu(x: torch.Tensor, window: Any, stride: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The same, where looking for a NaN costs less than providing for one."""
    maxima, index = _aten.max_pool2d_with_indices(x, window, stride)
    if math.isnan(maxima.sum().item()):
        index = torch.where(torch.isnan(maxima), _first_nan(x, window, stride), index)
    return maxima, index


def _first_nan(x: torch.Tensor, window: Any, stride: Any) -> torch.Tensor:
    """The index of each window's first NaN: the maximum of numbers that fall from the first pixel on."""
    pixels = x.shape[2] * x.shape[3]
    places = torch.arange(pixels, 0, -1, dtype=torch.float64, device=x.device).to(_counting_dtype(x, pixels))
    key = torch.where(torch.isnan(x), places.reshape(x.shape[2:]), 0)
    return pixels - torch.max_pool2d(key, window, stride).to(torch.int64)


def _counting_dtype(x: torch.Tensor, count: int) -> torch.dtype:
    """A dtype that holds all whole numbers up to `count`, x's own if it does."""
    return x.dtype if count * torch.finfo(x.dtype).eps <= 1 else torch.float64


def _is_pool_index(node: Tensor, input_size: tuple[int, ...]) -> bool:
    """Whether the indices are those of a max pooling of images of this size."""
    return node.primitive == "max_pool2d_index" and node.inputs[0].shape[2:] == input_size


@lowers("unpool2d")
def _unpool2d(plan: Plan, node: Tensor) -> Name:
    g, index = node.inputs
    if not plan.native and node.size and index.size and _is_pool_index(index, node.shape[2:]):
        a, x = index.attributes, index.inputs[0]
        arguments = (plan.value(g), plan.value(x), a["window"], a["stride"], _pooled(plan, index)[1])
        return plan.emit_onto(node, _unpool_windows, *arguments, onto=(x,))
    return plan.emit(_scatter, plan.value(g), plan.value(index), node.shape)


def _unpool_windows(
    g: torch.Tensor,
    x: torch.Tensor,
    window: Any,
    stride: Any,
    index: torch.Tensor,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    # Of the image only shape, dtype and layout are used, so the result may take its memory.
    made = torch.empty_like(x) if out is None else out
    _aten.max_pool2d_with_indices_backward.grad_input(
        g, x, window, stride, _NO_PADDING, _NO_DILATION, False, index, grad_input=made
    )
    return made


def _scatter(g: torch.Tensor, index: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    planes = g.new_zeros((*shape[:2], shape[2] * shape[3]))
    return planes.scatter_add(2, index.flatten(2).to(torch.int64), g.flatten(2)).reshape(shape)


@lowers("pool_gather2d")
def _pool_gather2d(plan: Plan, node: Tensor) -> Name:
    x, index = (plan.value(t) for t in node.inputs)
    return plan.emit(_gather, x, index)


def _gather(x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    places = index.flatten(2).to(torch.int64)
    return torch.gather(x.flatten(2), 2, places).reshape(index.shape)


FRESH.update([_sum_pool_gradient, max_pool, _max_pool_cpu, _unpool_windows, _scatter, _gather])
