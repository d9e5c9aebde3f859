"""Faults in moving arrays to a device and back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from isograd.backend import Array, Backend
from isograd_conformance.faults.fault import Fault
from isograd_conformance.faults.witness import ramp, round_trip
from isograd_conformance.faults.wrapping import Wrapped, wrapped_by
from isograd_conformance.subject import HostArray

Change = Callable[[HostArray], HostArray]


class Moving(Wrapped):
    """Arrays are changed on their way to the device, or back.

    Parameters
    ----------
    inner : Backend
    there, back : callable
    """

    def __init__(self, inner: Backend, there: Change, back: Change) -> None:
        super().__init__(inner)
        self._there, self._back = there, back

    def to_device(self, array: HostArray, device: str) -> Array:
        with np.errstate(all="ignore"):
            return self.inner.to_device(self._there(np.asarray(array)), device)

    def to_host(self, array: Array) -> HostArray:
        with np.errstate(all="ignore"):
            return self._back(self.inner.to_host(array))


def _same(a: HostArray) -> HostArray:
    return a


def _floating(change: Change) -> Change:
    return lambda a: change(a) if a.dtype.kind == "f" else a


def _single(a: HostArray) -> HostArray:
    return a.astype("float32").astype("float64") if a.dtype == "float64" else a


def _memory_order(a: HostArray) -> HostArray:
    """The elements as they lie in memory, whatever the strides say of their order."""
    return a.ravel(order="K").reshape(a.shape)


def _forwards(a: HostArray) -> HostArray:
    """Negative strides taken for positive ones."""
    turned = tuple(slice(None, None, -1) if s < 0 else slice(None) for s in a.strides)
    return a[turned]


def _whole_rows(a: HostArray) -> HostArray:
    """A row that does not lie in one piece is read as if it did."""
    if (
        a.ndim
        and a.shape[-1] > 1
        and a.strides[-1] not in (0, a.itemsize)
        and a.base is not None
        and a.strides[-1] > 0
    ):
        whole = np.ascontiguousarray(a)
        return np.concatenate([whole[..., :1]] * a.shape[-1], axis=-1)
    return a


def _bytes_as_they_are(a: HostArray) -> HostArray:
    return a.view(a.dtype.newbyteorder("=")) if not a.dtype.isnative else a


def _plain_nan(a: HostArray) -> HostArray:
    return np.where(np.isnan(a), a.dtype.type(np.nan), a)


def _quiet(a: HostArray) -> HostArray:
    """A signalling NaN becomes a quiet one, as arithmetic makes it."""
    if a.dtype.itemsize not in (4, 8):
        return a
    bits, quiet = ("uint32", 1 << 22) if a.dtype.itemsize == 4 else ("uint64", 1 << 51)
    native = np.array(a.astype(a.dtype.newbyteorder("=")))
    native.view(bits)[np.isnan(native)] |= np.asarray(quiet, bits)
    return native


def _flushed(a: HostArray) -> HostArray:
    return np.where(abs(a) < np.finfo(a.dtype).smallest_normal, np.copysign(a.dtype.type(0), a), a)


def _at_least_one_axis(a: HostArray) -> HostArray:
    return np.atleast_1d(a)


def _empty_is_flat(a: HostArray) -> HostArray:
    return a.reshape(0) if a.size == 0 else a


def _signed_bytes(a: HostArray) -> HostArray:
    return np.minimum(a, 127).astype("uint8") if a.dtype == np.uint8 else a


def _through_single(a: HostArray) -> HostArray:
    if a.dtype.name != "int32":
        return a
    wide = a.astype("float32").astype("float64")
    return np.asarray(np.clip(wide, -(2**31), 2**31 - 1), "int32")


def _truths_as_bytes(a: HostArray) -> HostArray:
    return a.view("uint8") if a.dtype == bool else a


def _whole_blocks(a: HostArray) -> HostArray:
    """Copied in blocks of 512; of a long array the remainder becomes 0."""
    if a.size <= 512:
        return a
    copy = np.array(a)
    copy.reshape(-1)[a.size // 512 * 512 :] = 0
    return copy


def _spoiled(a: HostArray) -> HostArray:
    """The array on the host is used as a buffer on the way."""
    moved = np.array(a)
    if a.flags.writeable and a.dtype.kind == "f":
        a *= 0.5
    return moved


SPECIAL = np.asarray([0x7F800001, 0x7FC00001, 0x80000000, 0x00000001], "uint32").view("float32")


def moved(name: str, change: Change, array: HostArray, *dtypes: str, back: bool = False) -> Fault:
    """A fault on the way there, or back."""
    changes = (_same, change) if back else (change, _same)
    return Fault(
        name,
        "transfer",
        wrapped_by(lambda b: Moving(b, *changes)),
        round_trip(array),
        ("test_transfers",),
        frozenset({"float32", *dtypes}),
    )


FAULTS: tuple[Fault, ...] = (
    moved("double precision moved in single precision", _single, np.asarray([1 / 3]), "float64"),
    moved("strides ignored", _memory_order, ramp(2, 3).T),
    moved("negative strides taken for positive ones", _forwards, ramp(4)[::-1]),
    moved(
        "every second column read as if next to each other",
        _whole_rows,
        np.repeat(ramp(2, 3), 2, axis=-1)[:, ::2],
    ),
    moved("byte order ignored", _bytes_as_they_are, ramp(3).astype(np.dtype("float32").newbyteorder())),
    moved("the sign of zero lost in a transfer", _floating(lambda a: a + a.dtype.type(0)), SPECIAL),
    moved("the payload of NaN lost in a transfer", _floating(_plain_nan), SPECIAL),
    moved("a signalling NaN becomes quiet in a transfer", _floating(_quiet), SPECIAL),
    moved("subnormal numbers flushed in a transfer", _floating(_flushed), SPECIAL),
    moved("an array without axes gets one", _at_least_one_axis, np.asarray(1.0, "float32")),
    moved("an empty array loses its shape", _empty_is_flat, ramp(2, 0)),
    moved("bytes end at 127", _signed_bytes, np.asarray([3, 200], "uint8"), "uint8"),
    moved(
        "whole numbers moved in single precision", _through_single, np.asarray([2**24 + 1], "int32"), "int32"
    ),
    moved("truth values come back as bytes", _truths_as_bytes, np.asarray([True]), "bool", back=True),
    moved("a long array loses what is beyond whole blocks", _whole_blocks, ramp(520)),
    Fault(
        "a transfer spoils the array on the host",
        "transfer",
        wrapped_by(lambda b: Moving(b, _spoiled, _same)),
        lambda b: _after_the_transfer(b),
        ("test_transfers",),
    ),
)


def _after_the_transfer(backend: Backend) -> object:
    array = ramp(3)
    backend.to_device(array, backend.devices()[0])
    return array.tolist()
