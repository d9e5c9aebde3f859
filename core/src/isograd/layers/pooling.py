"""Pooling of images over windows; a border that no whole window covers is ignored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from isograd.graph.derived import average_pool2d, l2_pool2d
from isograd.graph.primitives import checks, max_pool2d
from isograd.graph.tensor import Shape, Tensor
from isograd.layers.base import Layer, Mode
from isograd.layers.validation import image_shape, label, settle, single_input

Pooling = Literal["max", "average", "l2"]
POOLING: Mapping[Pooling, Callable[..., Tensor]] = {
    "max": max_pool2d,
    "average": average_pool2d,
    "l2": l2_pool2d,
}


@dataclass(frozen=True, repr=False)
class _Pool(Layer):
    window: int | Sequence[int] = (2, 2)
    stride: int | Sequence[int] | None = None

    _pooling: ClassVar[Pooling]

    def __post_init__(self) -> None:
        super().__post_init__()
        name = label(self)
        window = checks.pair(name, "window", self.window)
        stride = window if self.stride is None else checks.pair(name, "stride", self.stride)
        settle(self, window=window, stride=None if stride == window else stride)

    def output_shape(self, input_shape: Shape) -> Shape:
        image, name = image_shape(self, input_shape), label(self)
        window = checks.pair(name, "window", self.window)
        stride = window if self.stride is None else checks.pair(name, "stride", self.stride)
        return (image[0], *checks.windows(name, image, window, stride))

    def build(
        self,
        inputs: tuple[Tensor, ...],
        params: Mapping[str, Tensor],
        state: Mapping[str, Tensor],
        mode: Mode,
        masks: Mapping[str, Tensor],
    ) -> tuple[tuple[Tensor, ...], Mapping[str, Tensor]]:
        x = single_input(self, inputs, params, mode, masks)
        return (POOLING[self._pooling](x, window=self.window, stride=self.stride),), {}


@dataclass(frozen=True, repr=False)
class MaxPool(_Pool):
    """The maximum of each window of an image (channels, height, width).

    Of equal maxima, the first in row-major order gets the gradient.

    Parameters
    ----------
    window : int or pair of int
        Height and width.
    stride : int or pair of int, optional
        The window's size by default; less makes windows overlap.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If a field is not as described.
    """

    _pooling = "max"


@dataclass(frozen=True, repr=False)
class AveragePool(_Pool):
    """The mean of each window of an image. Parameters and errors as in `MaxPool`."""

    _pooling = "average"


@dataclass(frozen=True, repr=False)
class L2Pool(_Pool):
    """The square root of the sum of squares of each window of an image (Nielsen, chapter 6, "L2 pooling").

    Where a window is all zero, the gradient is 0. Parameters and errors as in `MaxPool`.
    """

    _pooling = "l2"
