"""One labelled data set, checked once when it is made: inputs, labels and how the inputs are scaled."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from isograd.errors import ArgumentError, ArgumentTypeError, IsogradError, ShapeError

# By kind and size, the dtype that a data set keeps an array in: its own, or one that holds its every value.
_KEPT = {"u1": "u1", "f4": "f4", "f8": "f8"}
_KEPT |= {"b1": "u1", "i1": "f4", "i2": "f4", "u2": "f4", "f2": "f4", "i4": "f8", "u4": "f8"}
_LARGEST_EXACT = 2**53
_BLOCK_BYTES = 2**20


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
        checked_classes = _checked_classes(classes)
        checked_inputs = _checked_inputs(inputs)
        checked_labels = _checked_labels(labels, checked_classes)
        if len(checked_inputs) != len(checked_labels):
            raise ShapeError(
                f"inputs and labels: expected as many of one as of the other, got inputs of shape "
                f"{checked_inputs.shape} and {len(checked_labels)} labels"
            )
        if not isinstance(name, str):
            raise ArgumentTypeError(f"name: expected a str, got {type(name).__name__}")
        checked_weights = _checked_weights(weights, len(checked_labels))
        self._set(
            checked_inputs, checked_labels, _checked_scale(scale), checked_classes, name, checked_weights
        )

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
        labels = _cast(self.labels, dtype, "labels") if not self.has_classes else self.labels
        weights = None if self.weights is None else _cast(self.weights, dtype, "weights")
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
            for block in _blocks(array):
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


def _as_array(values: npt.ArrayLike, argument: str) -> npt.NDArray[Any]:
    if isinstance(values, np.ma.MaskedArray):
        raise ArgumentTypeError(
            f"{argument}: expected an array without a mask; fill or drop the masked values"
        )
    try:
        array = np.asarray(values)
    # Foreign arrays refuse with an error of their own choice, for example because they lie on another device.
    except (TypeError, ValueError, RuntimeError) as error:
        raise ArgumentTypeError(f"{argument}: {type(values).__name__} is no array: {error}") from error
    if array.dtype.kind not in "biufc":
        raise ArgumentTypeError(f"{argument}: expected an array of numbers, got {array.dtype}")
    return array


def _checked_inputs(values: npt.ArrayLike) -> npt.NDArray[Any]:
    array = _as_array(values, "inputs")
    if array.ndim < 2:
        raise ShapeError(
            f"inputs: expected shape (n, *features), got {array.shape}; use reshape(-1, 1) for single numbers"
        )
    if not array.size:
        raise ShapeError(f"inputs: expected at least one example with one feature, got shape {array.shape}")
    array = _kept_dtype(array, "inputs")
    if array.dtype.kind == "f":
        _check_finite(array, "inputs")
    return array


def _kept_dtype(array: npt.NDArray[Any], argument: str) -> npt.NDArray[Any]:
    kind = f"{array.dtype.kind}{array.dtype.itemsize}"
    if kind in ("i8", "u8"):
        if array.max() > _LARGEST_EXACT or array.min() < -_LARGEST_EXACT:
            raise ArgumentError(
                f"{argument}: {array.dtype} values beyond 2**53 do not fit float64; rescale and cast"
            )
        return array.astype(np.float64)
    if kind not in _KEPT:
        raise ArgumentTypeError(
            f"{argument}: expected uint8, float32 or float64, got {array.dtype}; cast with .astype('float32')"
        )
    return array.astype(_KEPT[kind], copy=False)


def _check_finite(array: npt.NDArray[Any], argument: str) -> None:
    start = 0
    for block in _blocks(array):
        # Minimum and maximum pass NaN on: two quick reads of a block in the cache, and no array of flags.
        if not (np.isfinite(block.min()) and np.isfinite(block.max())):
            row, *feature = np.argwhere(~np.isfinite(block))[0].tolist()
            raise ArgumentError(
                f"{argument}: expected finite numbers, got {block[(row, *feature)]} in example {start + row}"
                + (f" at {tuple(feature)}" if feature else "")
            )
        start += len(block)


def _blocks(array: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """Views of consecutive rows, about `_BLOCK_BYTES` each."""
    rows = max(1, _BLOCK_BYTES * len(array) // array.nbytes)
    return [array[start : start + rows] for start in range(0, len(array), rows)]


def _checked_labels(values: npt.ArrayLike, classes: tuple[str, ...] | None) -> npt.NDArray[Any]:
    array = _as_array(values, "labels")
    if array.dtype.kind == "f":
        return _checked_values(array, classes)
    if array.ndim == 2:
        column = "reshape(-1)" if array.shape[1] == 1 else "argmax(axis=1)"
        raise ShapeError(
            f"labels: expected one class index an example, shape (n,), got {array.shape}; for one-hot rows "
            f"or a column use labels.{column}"
        )
    if array.ndim != 1:
        raise ShapeError(f"labels: expected shape (n,), got {array.shape}")
    if not array.size:
        raise ShapeError("labels: expected at least one, got none")
    if array.dtype.kind not in "iu":
        raise ArgumentTypeError(
            f"labels: expected integers, got {array.dtype}; cast, for example .astype('int32')"
        )
    smallest, largest = int(array.min()), int(array.max())
    limit = 2**31 if classes is None else len(classes)
    if smallest < 0 or largest >= limit:
        what = "label" if classes is None else "index of a class name"
        raise ArgumentError(f"labels: expected 0 <= {what} < {limit}; got {smallest} to {largest}")
    return array.astype(np.int32, copy=False)


def _checked_values(array: npt.NDArray[Any], classes: tuple[str, ...] | None) -> npt.NDArray[Any]:
    """Labels that are values."""
    if classes is not None:
        raise ArgumentTypeError(f"labels: expected integers, as there are classes, got {array.dtype}")
    if not array.ndim or not array.size:
        raise ShapeError(f"labels: expected shape (n, *output_shape), none of it 0, got {array.shape}")
    array = _kept_dtype(array, "labels")
    _check_finite(array, "labels")
    return array


def _cast(array: npt.NDArray[Any], dtype: str, argument: str) -> npt.NDArray[Any]:
    if array.dtype == dtype:
        return array
    with np.errstate(over="ignore"):
        other = array.astype(dtype)
    if not np.isfinite(other).all():
        raise ArgumentError(f"{argument}: a value is beyond the range of {dtype}")
    return other


def _checked_weights(values: npt.ArrayLike | None, examples: int) -> npt.NDArray[Any] | None:
    if values is None:
        return None
    array = _as_array(values, "weights")
    if array.shape != (examples,):
        raise ShapeError(f"weights: expected one for each example, shape ({examples},), got {array.shape}")
    array = _kept_dtype(array, "weights")
    if array.dtype.kind != "f":
        array = array.astype(np.float64)
    _check_finite(array, "weights")
    if array.min() < 0 or not array.any():
        raise ArgumentError(
            f"weights: expected none below 0 and one above, got {array.min()} to {array.max()}"
        )
    return array


def _checked_scale(scale: float) -> float:
    if not isinstance(scale, Real):
        raise ArgumentTypeError(f"scale: expected a number, got {scale!r}")
    value = float(scale)
    if not (math.isfinite(value) and value > 0):
        raise ArgumentError(f"scale: expected a finite number above 0, got {value}")
    return value


def _checked_classes(classes: list[str] | tuple[str, ...] | None) -> tuple[str, ...] | None:
    if classes is None:
        return None
    if not isinstance(classes, list | tuple) or not all(isinstance(one, str) for one in classes):
        raise ArgumentTypeError(f"classes: expected a list or tuple of names, got {classes!r}")
    names = tuple(classes)
    if not names or len(set(names)) < len(names):
        raise ArgumentError(f"classes: expected names that are all different, got {names}")
    return names
