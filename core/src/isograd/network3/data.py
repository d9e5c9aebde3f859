"""Data as the listing hands them about: pairs (x, y) of shared variables."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from isograd import random
from isograd.data import Dataset, DatasetSplits, as_dataset, load_dataset, read_mnist_pickle
from isograd.data.expanded import Expanded, expanded
from isograd.data.files import PathLike, file_name
from isograd.errors import ArgumentError, ArgumentTypeError, FileAccessError, ShapeError

PLAIN = "mnist.pkl.gz"
EXPANDED = "mnist_expanded.pkl.gz"


class SharedData(ABC):
    """One half of a data set. It holds no array: what is asked for is made then, and is the caller's own."""

    def __init__(self, data: Dataset | Expanded) -> None:
        self.data = data

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self):,} examples>"

    @abstractmethod
    def get_value(self, borrow: bool = False) -> npt.NDArray[Any]:
        """The array, whether it is to be borrowed or not."""

    def eval(self) -> npt.NDArray[Any]:
        """The array."""
        return self.get_value()

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, rows: slice) -> Self:
        """The same half of consecutive examples: ``x[:1000]``."""
        return type(self)(part(self.data, rows))

    # Without this, Python would iterate by calling __getitem__ with integers.
    __iter__ = None


class SharedInputs(SharedData):
    """The x of a data set: float32 (n, features), scaled; of 250,000 expanded images 784 MB."""

    def get_value(self, borrow: bool = False) -> npt.NDArray[np.float32]:
        data = part(self.data, slice(None))
        return data.inputs.reshape(len(data), -1).astype(np.float32) * np.float32(data.scale)


class SharedLabels(SharedData):
    """The y of a data set: int32 (n,)."""

    def get_value(self, borrow: bool = False) -> npt.NDArray[np.int32]:
        if isinstance(self.data, Dataset):
            return self.data.labels.copy()
        return _labels(self.data, np.arange(len(self), dtype=np.int32))


Pair = tuple[SharedInputs | npt.ArrayLike, SharedLabels | npt.ArrayLike]


@dataclass(frozen=True, eq=False)
class ShuffledExpanded(Expanded):
    """Expanded data in one random order, as the author's `expand_mnist.py` wrote them.

    The listing visits its data in their order. In that of `Expanded` a mini-batch of 10 would be two images,
    five times each.

    Attributes
    ----------
    order : int32 ndarray, (5 n,)
        Which of the base's expanded examples comes where.
    """

    order: npt.NDArray[np.int32]

    def images(self, examples: npt.NDArray[np.integer[Any]]) -> npt.NDArray[Any]:
        return super().images(self.order[examples])

    def rows(self, examples: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        return super().rows(self.order[examples])

    def fingerprint(self) -> str:
        """A digest of the content: 32 hexadecimal digits, of what `Expanded` has and of the order."""
        digest = hashlib.blake2b(super().fingerprint().encode(), digest_size=16)
        digest.update(np.ascontiguousarray(self.order, "<i4").data)
        return digest.hexdigest()


def shared(data: Dataset | Expanded | Pair) -> tuple[SharedInputs, SharedLabels]:
    """The pair (x, y) of a data set, which `Network.SGD` takes.

    Raises
    ------
    ArgumentTypeError, ArgumentError, ShapeError
        If it is neither a data set nor a pair of arrays that make one.
    """
    held = data if isinstance(data, Dataset | Expanded) else as_data(data, "data")
    return SharedInputs(held), SharedLabels(held)


def load_data_shared(filename: PathLike = f"../data/{PLAIN}") -> list[tuple[SharedInputs, SharedLabels]]:
    """Training, validation and test data, each a pair (x, y).

    Where there is no such file, the installed MNIST data set stands in for the two of the book, whatever the
    folder: for `mnist.pkl.gz` as it is; for `mnist_expanded.pkl.gz` with 250,000 training images, each image
    and its four shifts by one pixel, which are made when they are needed. They come in a random order, as in
    the file, but always in the same.

    Parameters
    ----------
    filename : str or path
        Read by `isograd.data.read_mnist_pickle`, which runs nothing that the file says.

    Raises
    ------
    FileAccessError
        If there is no such file and its name is none of the two, or it can not be read.
    FileFormatError
        If the file is no such pickle.
    ArgumentError, PluginError
        If the data set "mnist" is to stand in for the file and is not installed, or fails to load.
    """
    shown = file_name(filename)
    path = Path(shown)
    if path.exists():
        splits = read_mnist_pickle(path, name=path.name)
        training: Dataset | Expanded = splits.training
    elif path.name in (PLAIN, EXPANDED):
        splits = _installed(shown)
        training = _shuffled(splits.training) if path.name == EXPANDED else splits.training
    else:
        raise FileAccessError(
            f"{shown}: there is no such file; the installed MNIST data set stands in for {PLAIN} and "
            f"{EXPANDED} alone"
        )
    return [shared(part) for part in (training, splits.validation, splits.test) if part is not None]


def size(data: Pair) -> int:
    """The number of examples of a pair (x, y).

    Raises
    ------
    ArgumentTypeError, ShapeError
        If it is no pair, or its x a single number.
    """
    x, _ = _halves(data, "data")
    if isinstance(x, SharedData):
        return len(x)
    shape = np.shape(x)
    if not shape:
        raise ShapeError(f"data: x is {x!r}; expected an array, (n, *features)")
    return int(shape[0])


def as_data(pair: object, argument: str) -> Dataset | Expanded:
    """The data set of a pair (x, y): of shared variables, of arrays, or of one of each.

    Raises
    ------
    ArgumentTypeError, ArgumentError, ShapeError
        If it is no such pair, or as `Dataset`; the message begins with `argument`.
    """
    x, y = _halves(pair, argument)
    if isinstance(x, SharedInputs) and isinstance(y, SharedLabels) and x.data is y.data:
        return x.data
    halves = [half.get_value() if isinstance(half, SharedData) else half for half in (x, y)]
    return as_dataset(halves, argument)


def part(data: Dataset | Expanded, rows: slice) -> Dataset:
    """Consecutive examples as a data set, of which expanded ones are made."""
    if isinstance(data, Dataset):
        return data[rows]
    if not isinstance(rows, slice):
        raise ArgumentTypeError(f"shared data are indexed by a slice, got {type(rows).__name__}")
    chosen = np.arange(len(data), dtype=np.int32)[rows]
    base = data.base
    return Dataset(
        data.images(chosen), _labels(data, chosen), scale=base.scale, classes=base.classes, name=base.name
    )


def _halves(pair: object, argument: str) -> tuple[Any, Any]:
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise ArgumentTypeError(
            f"{argument} is a {type(pair).__name__}; expected a pair (x, y), as load_data_shared and shared "
            "give them"
        )
    x, y = pair
    return x, y


def _installed(shown: str) -> DatasetSplits:
    try:
        return load_dataset("mnist")
    except ArgumentError as error:
        raise ArgumentError(
            f"{shown}: there is no such file, and nothing to stand in for it: {error}"
        ) from error


def _shuffled(data: Dataset) -> ShuffledExpanded:
    base = expanded(data).base
    return ShuffledExpanded(base, random.permutation(0, epoch=0, size=len(Expanded(base))))


def _labels(data: Expanded, examples: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    return data.base.labels[data.rows(examples)]
