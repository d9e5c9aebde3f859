"""The arguments of `Dataset`, each checked and in the form in which it is kept; messages name it."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from isograd.errors import ArgumentError, ArgumentTypeError, ShapeError

# By kind and size, the dtype that a data set keeps an array in: its own, or one that holds its every value.
_KEPT = {"u1": "u1", "f4": "f4", "f8": "f8"}
_KEPT |= {"b1": "u1", "i1": "f4", "i2": "f4", "u2": "f4", "f2": "f4", "i4": "f8", "u4": "f8"}
_LARGEST_EXACT = 2**53
BLOCK_BYTES = 2**20


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


def checked_inputs(values: npt.ArrayLike) -> npt.NDArray[Any]:
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
    for block in blocks(array):
        # Minimum and maximum pass NaN on: two quick reads of a block in the cache, and no array of flags.
        if not (np.isfinite(block.min()) and np.isfinite(block.max())):
            row, *feature = np.argwhere(~np.isfinite(block))[0].tolist()
            raise ArgumentError(
                f"{argument}: expected finite numbers, got {block[(row, *feature)]} in example {start + row}"
                + (f" at {tuple(feature)}" if feature else "")
            )
        start += len(block)


def blocks(array: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """Views of consecutive rows, about `BLOCK_BYTES` each."""
    rows = max(1, BLOCK_BYTES * len(array) // array.nbytes)
    return [array[start : start + rows] for start in range(0, len(array), rows)]


def checked_labels(values: npt.ArrayLike, classes: tuple[str, ...] | None) -> npt.NDArray[Any]:
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


def in_precision(array: npt.NDArray[Any], dtype: str, argument: str) -> npt.NDArray[Any]:
    if array.dtype == dtype:
        return array
    with np.errstate(over="ignore"):
        other = array.astype(dtype)
    if not np.isfinite(other).all():
        raise ArgumentError(f"{argument}: a value is beyond the range of {dtype}")
    return other


def checked_weights(values: npt.ArrayLike | None, examples: int) -> npt.NDArray[Any] | None:
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


def checked_scale(scale: float) -> float:
    if not isinstance(scale, Real):
        raise ArgumentTypeError(f"scale: expected a number, got {scale!r}")
    value = float(scale)
    if not (math.isfinite(value) and value > 0):
        raise ArgumentError(f"scale: expected a finite number above 0, got {value}")
    return value


def checked_classes(classes: list[str] | tuple[str, ...] | None) -> tuple[str, ...] | None:
    if classes is None:
        return None
    if not isinstance(classes, list | tuple) or not all(isinstance(one, str) for one in classes):
        raise ArgumentTypeError(f"classes: expected a list or tuple of names, got {classes!r}")
    names = tuple(classes)
    if not names or len(set(names)) < len(names):
        raise ArgumentError(f"classes: expected names that are all different, got {names}")
    return names
