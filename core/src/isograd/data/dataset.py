"""One labelled data set, checked once when it is made: inputs, labels and how the inputs are scaled."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from isograd.data.checks import (
    blocks,
    checked_classes,
    checked_inputs,
    checked_labels,
    checked_scale,
    checked_weights,
    in_precision,
)
from isograd.errors import ArgumentError, ArgumentTypeError, IsogradError, ShapeError


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Dataset:
    """Inputs and labels of n examples, classes or values; the arrays are read-only.

    The network computes with ``cast(inputs) * scale``; the cast happens in its graph, so that images stay
    uint8 where they lie. Arrays are kept as views, not copied, wherever their dtype is kept; whoever writes
    to the original afterwards changes the data set unseen.

    Parameters
    ----------
    inputs : array-like, shape (n, *feature_shape)
        uint8, float32 and float64 are kept. Others are converted where no value can change: bool to uint8;
        int8, int16, uint16 and float16 to float32; int32, uint32, int64 and uint64 to float64 (64-bit
        integers up to 2**53). All values are finite. Images are in the order (n, channels, height, width).
    labels : array-like of integers, shape (n,), or of floating numbers, shape (n, *output_shape)
        The class of each example, from 0; kept as int32. With `classes`, less than their number. Or, for a
        network whose cost is of values (`isograd.costs`), the values that its outputs should have, finite;
        float32 and float64 are kept.
    scale : float
        What an input is multiplied by, finite and above 0. 1/256 for images of bytes.
    classes : list or tuple of str, optional
        The name of each class, all different.
    name : str
        For messages and listings.
    weights : array-like of numbers, shape (n,), optional
        What the cost of each example is multiplied by, in training as in an evaluation: finite, none below 0
        and not all 0; float32 and float64 are kept, others become float64. An accuracy counts every example
        alike.

    Raises
    ------
    ArgumentTypeError
        A dtype can not be kept or converted without loss.
    ShapeError
        The ranks or the lengths do not fit, or there is no example.
    ArgumentError
        A value is not finite or out of its range.
    """

    inputs: npt.NDArray[Any]
    labels: npt.NDArray[Any]
    scale: float
    classes: tuple[str, ...] | None
    name: str
    weights: npt.NDArray[Any] | None

    def __init__(
        self,
        inputs: npt.ArrayLike,
        labels: npt.ArrayLike,
        *,
        scale: float = 1.0,
        classes: list[str] | tuple[str, ...] | None = None,
        name: str = "",
        weights: npt.ArrayLike | None = None,
    ) -> None:
        kept_classes = checked_classes(classes)
        kept_inputs = checked_inputs(inputs)
        kept_labels = checked_labels(labels, kept_classes)
        if len(kept_inputs) != len(kept_labels):
            raise ShapeError(
                f"inputs and labels: expected as many of one as of the other, got inputs of shape "
                f"{kept_inputs.shape} and {len(kept_labels)} labels"
            )
        if not isinstance(name, str):
            raise ArgumentTypeError(f"name: expected a str, got {type(name).__name__}")
        kept_weights = checked_weights(weights, len(kept_labels))
        self._set(kept_inputs, kept_labels, checked_scale(scale), kept_classes, name, kept_weights)

    def _set(
        self,
        inputs: npt.NDArray[Any],
        labels: npt.NDArray[Any],
        scale: float,
        classes: tuple[str, ...] | None,
        name: str,
        weights: npt.NDArray[Any] | None = None,
    ) -> None:
        object.__setattr__(self, "inputs", _read_only(inputs))
        object.__setattr__(self, "labels", _read_only(labels))
        object.__setattr__(self, "scale", scale)
        object.__setattr__(self, "classes", classes)
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "weights", None if weights is None else _read_only(weights))

    def _rows(self, rows: slice | npt.NDArray[Any]) -> Dataset:
        """The same kind of data with some of the rows, which are not checked again."""
        labels = self.labels[rows]
        if not len(labels):
            raise ShapeError(f"the selection from {self!r} is empty; a data set needs at least one example")
        return self._with(self.inputs[rows], labels, None if self.weights is None else self.weights[rows])

    def _with(
        self, inputs: npt.NDArray[Any], labels: npt.NDArray[Any], weights: npt.NDArray[Any] | None
    ) -> Dataset:
        other = object.__new__(Dataset)
        other._set(inputs, labels, self.scale, self.classes, self.name, weights)
        return other

    # A data set is unpickled and copied through here, because NumPy's copies forget that they are read-only.
    def __setstate__(self, state: dict[str, Any]) -> None:
        self._set(**state)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: slice) -> Dataset:
        """Consecutive examples, as views: ``data[:50_000]``."""
        if not isinstance(rows, slice):
            raise ArgumentTypeError(
                f"a data set is indexed by a slice, got {type(rows).__name__}; take() selects single examples"
            )
        return self._rows(rows)

    # Without this, Python would iterate by calling __getitem__ with integers.
    __iter__ = None

    def __repr__(self) -> str:
        title = f"{self.name!r}, " if self.name else ""
        labels = f"labels {self.labels.min()}..{self.labels.max()}"
        if not self.has_classes:
            labels = f"{self.labels.dtype} labels of {self.labels.shape[1:]}"
        weighted = "" if self.weights is None else ", weights"
        return (
            f"Dataset({title}{len(self)} examples of {self.feature_shape} {self.inputs.dtype}, "
            f"scale={self.scale:g}, {labels}{weighted})"
        )

    @property
    def has_classes(self) -> bool:
        """Whether the labels are classes, and not values."""
        return bool(self.labels.dtype == np.int32)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """ "inputs", "labels" and, where there are any, "weights"."""
        arrays = {"inputs": self.inputs, "labels": self.labels}
        return arrays if self.weights is None else {**arrays, "weights": self.weights}

    def class_name(self, number: int) -> str:
        """The name of a class, or where it has none its number."""
        known = self.classes is not None and number < len(self.classes)
        return self.classes[number] if known and self.classes is not None else str(number)

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """The shape of one example's inputs."""
        return self.inputs.shape[1:]

    def take(self, indices: npt.ArrayLike) -> Dataset:
        """A copy of the examples with these indices: integers from 0 to n - 1, shape (k,), any order."""
        rows = np.asarray(indices)
        if rows.dtype.kind not in "iu":
            raise ArgumentTypeError(f"indices: expected integers, got {rows.dtype}")
        if rows.ndim != 1:
            raise ShapeError(f"indices: expected shape (k,), got {rows.shape}")
        if rows.size and not (rows.min() >= 0 and rows.max() < len(self)):
            raise ArgumentError(
                f"indices: expected 0 <= index < {len(self)}, got {rows.min()} to {rows.max()}"
            )
        return self._rows(rows)

    def reshape(self, feature_shape: Sequence[int]) -> Dataset:
        """The same examples, each of another shape with as many elements: ``data.reshape((784,))``."""
        shape = tuple(feature_shape)
        if any(extent < 1 for extent in shape) or math.prod(shape) != math.prod(self.feature_shape):
            raise ShapeError(
                f"feature_shape: {shape} does not have the {math.prod(self.feature_shape)} elements of "
                f"{self.feature_shape}"
            )
        return self._with(self.inputs.reshape(len(self), *shape), self.labels, self.weights)

    def in_precision(self, dtype: str) -> Dataset:
        """The same examples, with labels that are values, and weights, of another floating dtype.

        Raises
        ------
        ArgumentError
            If one of them is beyond the range of that dtype.
        """
        labels = in_precision(self.labels, dtype, "labels") if not self.has_classes else self.labels
        weights = None if self.weights is None else in_precision(self.weights, dtype, "weights")
        if labels is self.labels and weights is self.weights:
            return self
        return self._with(self.inputs, labels, weights)

    def fingerprint(self) -> str:
        """A digest of the content, the same on every machine: 32 hexadecimal digits.

        It covers what a network computes from (shape, dtype, values, scale, labels and weights) and not the
        names: BLAKE2b with 16 bytes, of the text ``"{dtype} {shape} {scale}"`` (such as ``"uint8 (60000, 1,
        28, 28) 0x1.0p-8"``, the scale as `float.hex` writes it), with `` labels {dtype} {shape}`` behind it
        where labels are values, and `` weights {dtype}`` where there are weights; then the bytes of inputs,
        labels and weights, little-endian in C order.
        """
        digest = hashlib.blake2b(digest_size=16)
        digest.update(f"{self.inputs.dtype} {self.inputs.shape} {self.scale.hex()}".encode())
        if not self.has_classes:
            digest.update(f" labels {self.labels.dtype} {self.labels.shape}".encode())
        if self.weights is not None:
            digest.update(f" weights {self.weights.dtype}".encode())
        for array in self.arrays().values():
            little_endian = array.dtype.newbyteorder("<")
            for block in blocks(array):
                digest.update(np.ascontiguousarray(block, little_endian).data)
        return digest.hexdigest()


def as_dataset(data: Any, argument: str = "training_data") -> Dataset:
    """`data` itself if it is a `Dataset`, or the data set of a pair (inputs, labels).

    Parameters
    ----------
    data : Dataset, or tuple or list of two array-likes
    argument : str
        What error messages call it.

    Raises
    ------
    ArgumentTypeError, ArgumentError, ShapeError
        As for `Dataset`; the message begins with `argument`.
    """
    if isinstance(data, Dataset):
        return data
    if not isinstance(data, tuple | list) or len(data) != 2:
        got = type(data).__name__ + (f" of {len(data)}" if isinstance(data, tuple | list) else "")
        raise ArgumentTypeError(f"{argument}: expected a Dataset or a pair (inputs, labels), got {got}")
    try:
        return Dataset(*data)
    except IsogradError as error:
        raise type(error)(f"{argument}: {error}") from error


def _read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view
