"""The images of a step, made on the host: of an expanded data set, augmented, or both."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from isograd.data import Dataset
from isograd.data.expanded import Expanded, held, shifted
from isograd.training.augmentation.specs import Augmentation, Draw, OnePixelShifts
from isograd.training.augmentation.warp import Floats, bilinear

# How many images are warped at a time: of fewer the calls cost more than the work, more leave the cache.
_BLOCK_ROWS = 128


@dataclass(frozen=True)
class Images:
    """The images of successive steps.

    Parameters
    ----------
    data : Dataset or Expanded
        With `augmentation`, of images (n, channels, height, width).
    augmentation : tuple of Augmentation
    """

    data: Dataset | Expanded
    augmentation: tuple[Augmentation, ...] = ()

    @property
    def base(self) -> Dataset:
        return held(self.data)

    @property
    def dtype(self) -> str:
        """That of the data; float32 instead of uint8 where pixels are interpolated, in the data's units."""
        dtype = self.base.inputs.dtype.name
        return "float32" if dtype == "uint8" and self._warps else dtype

    @property
    def row_bytes(self) -> int:
        """How many bytes an image has."""
        return math.prod(self.base.feature_shape) * np.dtype(self.dtype).itemsize

    @property
    def _warps(self) -> bool:
        return len(self.augmentation) > 1 or any(
            not isinstance(spec, OnePixelShifts) for spec in self.augmentation
        )

    def make(
        self, seed: int, epoch: int, first_step: int, examples: npt.NDArray[np.int32]
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.int32]]:
        """The images of successive steps of an epoch, and which examples of the base they come from.

        Parameters
        ----------
        seed, epoch, first_step : int
        examples : int32 ndarray, shape (steps, rows)
            Indices into the data.

        Returns
        -------
        images : ndarray, shape (steps, rows, *features)
            Of `dtype`. Those of a step are the same however the steps are divided into calls.
        rows : int32 ndarray, shape (steps, rows)
            Indices into the base, whose labels the images have.
        """
        steps, rows = examples.shape
        images = np.empty((steps, rows, *self.base.feature_shape), self.dtype)
        block = max(1, _BLOCK_ROWS // rows)
        for start in range(0, steps, block):
            part = examples[start : start + block]
            images[start : start + block] = self._block(seed, epoch, first_step + start, part)
        if isinstance(self.data, Expanded):
            examples = self.data.rows(examples)
        return images, examples

    def _block(
        self, seed: int, epoch: int, first_step: int, examples: npt.NDArray[np.int32]
    ) -> npt.NDArray[Any]:
        chosen = examples.reshape(-1)
        images = self.data.images(chosen) if isinstance(self.data, Expanded) else self.data.inputs[chosen]
        draws = [
            Draw(seed, f"{place}.{type(spec).__name__}", epoch, first_step, *examples.shape)
            for place, spec in enumerate(self.augmentation)
        ]
        if self._warps:
            images = self._warped(images, draws)
        else:
            for spec, draw in zip(self.augmentation, draws, strict=True):
                assert isinstance(spec, OnePixelShifts)
                images = shifted(images, spec.drawn(draw))
        return images.reshape(*examples.shape, *images.shape[1:])

    def _warped(self, images: npt.NDArray[Any], draws: list[Draw]) -> Floats:
        n, _, height, width = images.shape
        middle_y, middle_x = (height - 1) / 2, (width - 1) / 2
        y: Floats = (np.arange(height, dtype=self.dtype) - middle_y).reshape(1, height, 1)
        x: Floats = (np.arange(width, dtype=self.dtype) - middle_x).reshape(1, 1, width)
        # From the new image back to the old one, hence the last augmentation first.
        for spec, draw in reversed(list(zip(self.augmentation, draws, strict=True))):
            y, x = spec.places(draw, y, x)
        places = np.empty((2, n, height, width), self.dtype)
        np.add(y, middle_y, out=places[0])
        np.add(x, middle_x, out=places[1])
        return bilinear(images, *places)
