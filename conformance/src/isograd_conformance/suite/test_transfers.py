"""Arrays pass to a device and back without a change of shape, dtype or bit, however they lie in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from isograd.graph import DTYPES
from isograd_conformance.checks import require
from isograd_conformance.profiles import examples
from isograd_conformance.strategies.arrays import LAYOUTS, read_only
from isograd_conformance.subject import HostArray, Subject

pytestmark = pytest.mark.judges("layout")


def round_trip(subject: Subject, array: HostArray) -> HostArray:
    return subject.backend.to_host(subject.backend.to_device(array, subject.device))


def assert_unchanged(found: HostArray, array: HostArray) -> None:
    assert isinstance(found, np.ndarray)
    assert (found.shape, found.dtype) == (array.shape, array.dtype.newbyteorder("="))
    assert found.tobytes() == array.astype(found.dtype).tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data(), layout=st.sampled_from(sorted(LAYOUTS)), frozen=st.booleans())
@examples(30)
def test_any_bits_in_any_layout(
    dtype: str, subject: Subject, data: st.DataObject, layout: str, frozen: bool
) -> None:
    """NaN, infinities, -0 and subnormals among them; empty and without axes too."""
    require(subject, dtype)
    shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
    array = LAYOUTS[layout](data.draw(hnp.arrays(dtype, shapes)))
    before = array.tobytes()
    assert_unchanged(round_trip(subject, read_only(array) if frozen else array), array)
    assert array.tobytes() == before


BITS: dict[str, Any] = {
    "float32": np.asarray([0x7FC00001, 0xFFC12345, 0x7F800001, 0x80000000, 0x00000001, 0x7F800000], "uint32"),
    "float64": np.asarray(
        [0x7FF8000000000001, 0xFFF8123456789ABC, 0x7FF0000000000001, 0x8000000000000000, 0x1], "uint64"
    ),
}


@pytest.mark.parametrize("dtype", sorted(BITS))
def test_the_payload_of_a_nan_the_sign_of_a_zero_and_the_least_number(dtype: str, subject: Subject) -> None:
    require(subject, dtype)
    array = BITS[dtype].view(dtype)
    assert_unchanged(round_trip(subject, array), array)


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_element_or_none_seen_backwards(dtype: str, subject: Subject) -> None:
    """Negative strides of arrays that lie in every order at once."""
    require(subject, dtype)
    for shape in [(1,), (0,), (1, 1), (2, 0), (3, 1)]:
        array = np.ones(shape, dtype)
        assert_unchanged(round_trip(subject, array[tuple(slice(None, None, -1) for _ in shape)]), array)


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_element_seen_everywhere(dtype: str, subject: Subject) -> None:
    """Strides of 0, as `numpy.broadcast_to` gives them."""
    require(subject, dtype)
    array = np.broadcast_to(np.ones((1, 3), dtype), (4, 3))
    assert_unchanged(round_trip(subject, array), array)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_numbers_in_the_other_byte_order(dtype: str, subject: Subject) -> None:
    require(subject, dtype)
    array = np.arange(6).reshape(2, 3).astype(np.dtype(dtype).newbyteorder())
    assert_unchanged(round_trip(subject, array), array)


def test_every_device_is_usable_by_its_full_name(subject: Subject) -> None:
    devices = subject.backend.devices()
    assert devices
    assert len(set(devices)) == len(devices)
    assert subject.backend.resolve_device(None) == devices[0]
    array = np.arange(3).astype(subject.floating[0])
    for device in devices:
        assert subject.backend.resolve_device(device) == device
        assert_unchanged(subject.backend.to_host(subject.backend.to_device(array, device)), array)
