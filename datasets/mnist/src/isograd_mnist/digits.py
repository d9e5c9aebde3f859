"""The four files in this package, checked and split as in the chapter."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import Any

import numpy as np
import numpy.typing as npt

from isograd.data import Dataset, DatasetSplits, read_idx

_VALIDATION_SIZE = 10_000
_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


def load() -> DatasetSplits:
    """MNIST: 50,000 training, 10,000 validation (the last of the 60,000) and 10,000 test images.

    Inputs are uint8 of shape (n, 1, 28, 28) with the scale 1/256, labels int32 from 0 to 9.

    Raises
    ------
    FileAccessError, FileFormatError
        A file of this package is missing, or is not the original (its SHA-256 differs).
    """
    return DatasetSplits(_part("train"), test=_part("t10k")).hold_out(_VALIDATION_SIZE)


def _part(prefix: str) -> Dataset:
    images = _read(f"{prefix}-images-idx3-ubyte")
    labels = _read(f"{prefix}-labels-idx1-ubyte")
    return Dataset(images[:, np.newaxis], labels, scale=1 / 256, classes=tuple("0123456789"), name="mnist")


def _read(name: str) -> npt.NDArray[Any]:
    with as_file(files("isograd_mnist").joinpath("data", f"{name}.gz")) as path:
        return read_idx(path, sha256=_SHA256[name])
