"""What the host draws for a chunk of steps: rows, images, masks and the learning rate, one row a step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from isograd import random
from isograd.architecture import Architecture
from isograd.training.images import Images
from isograd.training.step import IMAGES, MASK

# How many steps a chunk has at most, and how many bytes its draws.
CHUNK_STEPS = 256
CHUNK_BYTES = 2**25


@dataclass(frozen=True)
class Chunk:
    """Successive steps of one epoch, each on as many rows.

    Where an epoch is cut into chunks changes no result: every draw has the number of its own step.
    """

    epoch: int
    first_step: int
    steps: int
    rows: int

    def single(self, index: int) -> Chunk:
        """The step with this index, counted from the chunk's first, as a chunk of its own."""
        return Chunk(self.epoch, self.first_step + index, 1, self.rows)


def epoch_order(seed: int, epoch: int, examples: int, shuffle: bool) -> npt.NDArray[np.int32]:
    """In which order an epoch visits the examples: int32, (examples,)."""
    if shuffle:
        return random.permutation(seed, epoch=epoch, size=examples)
    return np.arange(examples, dtype=np.int32)


def draw(
    architecture: Architecture,
    seed: int,
    chunk: Chunk,
    order: npt.NDArray[np.int32],
    mini_batch_size: int,
    eta: float | npt.NDArray[np.float64],
    images: Images | None = None,
) -> dict[str, npt.NDArray[Any]]:
    """The inputs that change from step to step, by name, each with a leading axis of `chunk.steps`.

    `eta` is the learning rate of all these steps, or of each: (steps,).

    "rows" int32 (steps, rows), from `order`; "eta" (steps,) of the network's dtype; "mask/PATH" bool (steps,
    rows, *shape). With `images`, "images" (steps, rows, *features) of their dtype too, and "rows" has the
    places of the labels.
    """
    first = chunk.first_step * mini_batch_size
    rows = order[first : first + chunk.steps * chunk.rows].reshape(chunk.steps, chunk.rows)
    draws: dict[str, npt.NDArray[Any]] = {"eta": np.full(chunk.steps, eta, architecture.dtype)}
    if images is not None:
        draws[IMAGES], rows = images.make(seed, chunk.epoch, chunk.first_step, rows)
    draws["rows"] = rows
    for path, spec in architecture.masks.items():
        draws[MASK + path] = random.keep_masks(
            seed,
            path,
            epoch=chunk.epoch,
            first_step=chunk.first_step,
            steps=chunk.steps,
            shape=(chunk.rows, *spec.shape),
            p_dropout=spec.p_dropout,
        )
    return draws


def steps_that_fit(architecture: Architecture, rows: int, images: Images | None = None) -> int:
    """How many steps' draws stay within the limits; at least 1."""
    mask_bytes = sum(math.prod(spec.shape) for spec in architecture.masks.values())
    row_bytes = np.dtype(np.int32).itemsize + mask_bytes + (images.row_bytes if images is not None else 0)
    return max(1, min(CHUNK_STEPS, CHUNK_BYTES // (rows * row_bytes)))
