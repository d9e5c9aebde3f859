"""Operations for PyTorch's own differentiation whose derivative would otherwise depart from the conventions.

Each is PyTorch's operation forward; backward it is the row of isograd's table of conventions (ties, kinks,
NaN and infinities), in operations that PyTorch differentiates again. What is not here has the specified
derivative in PyTorch already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


class _Relu(torch.autograd.Function):
    """PyTorch hands the gradient on where the result is NaN; here it is 0."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> torch.Tensor:
        (y,) = ctx.saved_tensors
        return torch.where(y > 0, g, 0)


class _Softplus(torch.autograd.Function):
    """logaddexp(x, 0) has the derivative exp(x - y), which is NaN at infinity; here it is the sigmoid."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return torch.logaddexp(x, torch.zeros((), dtype=x.dtype, device=x.device))

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors
        return g * torch.sigmoid(x)


class _Extremum(torch.autograd.Function):
    """The larger, or with sign -1 the smaller. PyTorch hands the gradient on to both where either is NaN."""

    @staticmethod
    def forward(ctx: Any, a: torch.Tensor, b: torch.Tensor, sign: int) -> torch.Tensor:
        ctx.save_for_backward(*torch.broadcast_tensors(a, b))
        ctx.shapes, ctx.sign = (a.shape, b.shape), sign
        return torch.maximum(a, b) if sign > 0 else torch.minimum(a, b)

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        a, b = ctx.saved_tensors
        larger, smaller = (a, b) if ctx.sign > 0 else (b, a)
        half = torch.where(a == b, g * 0.5, 0)
        parts = torch.where(larger > smaller, g, half), torch.where(smaller > larger, g, half)
        first, second = (part.sum_to_size(shape) for part, shape in zip(parts, ctx.shapes, strict=True))
        return first, second, None


class _LogSumExp(torch.autograd.Function):
    """Where every element is -inf the gradient is 0."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
        y = torch.logsumexp(x, axes)
        # The result itself: PyTorch would take another tensor for a constant in a second derivative.
        ctx.save_for_backward(x, y)
        ctx.shape = tuple(1 if axis in axes else n for axis, n in enumerate(x.shape))
        return y

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> tuple[torch.Tensor, None]:
        x, y = ctx.saved_tensors
        shift = torch.where(y == -torch.inf, 0, y).reshape(ctx.shape)
        return torch.exp(x - shift) * g.reshape(ctx.shape), None


class _ReduceMax(torch.autograd.Function):
    """Tied maxima share the gradient evenly; where there is a NaN, which equals nothing, it is 0."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
        # PyTorch takes an empty list of axes for all of them.
        y = torch.amax(x, axes, keepdim=True) if axes else x.clone()
        ctx.save_for_backward(x, y)
        ctx.axes = axes
        return y.squeeze(axes)

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> tuple[torch.Tensor, None]:
        x, y = ctx.saved_tensors
        maxima = x == y
        count = torch.sum(maxima, ctx.axes, keepdim=True) if ctx.axes else maxima
        return torch.where(maxima, g.reshape(y.shape) / count.to(x.dtype), 0), None


class _MaxPool(torch.autograd.Function):
    """The gradient goes to the pixel that isograd's index names, also among NaNs."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, window: Any, stride: Any) -> tuple[torch.Tensor, torch.Tensor]:
        from isograd_torch.lowering.pooling import max_pool

        maxima, index = max_pool(x, window, stride)
        ctx.save_for_backward(x, index)
        ctx.geometry = window, stride
        ctx.mark_non_differentiable(index)
        return maxima, index

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor, _: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        x, index = ctx.saved_tensors
        made = torch.ops.aten.max_pool2d_with_indices_backward(
            g, x, *ctx.geometry, (0, 0), (1, 1), False, index
        )
        return made, None, None


_extremum: Callable[..., Any] = _Extremum.apply


def maximum(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The larger, with isograd's gradient."""
    made: torch.Tensor = _extremum(a, b, 1)
    return made


def minimum(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The smaller, with isograd's gradient."""
    made: torch.Tensor = _extremum(a, b, -1)
    return made


NATIVE: dict[str, Callable[..., Any]] = {
    "relu": _Relu.apply,
    "softplus": _Softplus.apply,
    "maximum": maximum,
    "minimum": minimum,
    "logsumexp": _LogSumExp.apply,
    "reduce_max": _ReduceMax.apply,
    "max_pool2d": _MaxPool.apply,
}
