"""The chapter's expanded training data: each image and its four shifts by one pixel, made when needed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from isograd.data.dataset import Dataset, as_dataset
from isograd.errors import ArgumentError, ShapeError

# By how many pixels the content moves down and right: not at all, up, down, left, right.
DIRECTIONS = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))


@dataclass(frozen=True, eq=False)
class Expanded:
    """Five examples for each of a data set, of which only the data set itself is held; made by `expanded`.

    Example i is the base's example i // 5, moved by ``DIRECTIONS[i % 5]``. As `training_data` of
    `Network.SGD` it is a data set of 5 * n examples: all of them are shuffled every epoch.

    Attributes
    ----------
    base : Dataset
        Of images (n, channels, height, width).
    """

    base: Dataset

    def __len__(self) -> int:
        return len(self.base) * len(DIRECTIONS)

    def images(self, examples: npt.NDArray[np.integer[Any]]) -> npt.NDArray[Any]:
        """The images of some examples: (k, channels, height, width) of the base's dtype, by index (k,)."""
        rows, directions = np.divmod(examples, len(DIRECTIONS))
        return shifted(self.base.inputs[rows], directions)

    def rows(self, examples: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """Which examples of the base they come from, and whose labels they have; any shape."""
        return examples // np.int32(len(DIRECTIONS))

    def fingerprint(self) -> str:
        """A digest of the content: 32 hexadecimal digits, of the word "expanded" and the base's."""
        text = f"expanded {self.base.fingerprint()}"
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def expanded(data: Dataset | tuple[npt.ArrayLike, npt.ArrayLike]) -> Expanded:
    """A data set of images with each image's four shifts by one pixel, zeros moving in.

    Parameters
    ----------
    data : Dataset or (inputs, labels)
        At most 429,496,729 images (n, channels, height, width), so that an example's index fits int32.

    Raises
    ------
    ShapeError
        The examples are no images.
    ArgumentError, ArgumentTypeError
        As for `Dataset`, or there are too many.
    """
    base = as_dataset(data, "data")
    if len(base.feature_shape) != 3:
        raise ShapeError(
            f"data: expected images (channels, height, width), got examples of shape {base.feature_shape}; "
            "reshape() gives them that shape"
        )
    most = (2**31 - 1) // len(DIRECTIONS)
    if len(base) > most:
        raise ArgumentError(f"data: expected at most {most} images, got {len(base)}")
    return Expanded(base)


def held(data: Dataset | Expanded) -> Dataset:
    """The data set that is in memory: of an expanded one its base."""
    return data.base if isinstance(data, Expanded) else data


def shifted(images: npt.NDArray[Any], directions: npt.NDArray[np.integer[Any]]) -> npt.NDArray[Any]:
    """Images (k, ..., height, width), each moved by one of `DIRECTIONS`, from their indices (k,)."""
    result = np.zeros_like(images)
    for number, (down, right) in enumerate(DIRECTIONS):
        chosen = np.flatnonzero(directions == number)
        to_y, from_y = _slices(down)
        to_x, from_x = _slices(right)
        result[chosen, ..., to_y, to_x] = images[chosen, ..., from_y, from_x]
    return result


def _slices(distance: int) -> tuple[slice, slice]:
    """Where a line's pixels go to and come from when they move by -1, 0 or 1."""
    if distance > 0:
        return slice(distance, None), slice(None, -distance)
    if distance < 0:
        return slice(None, distance), slice(-distance, None)
    return slice(None), slice(None)
