"""The book's pickle is read whatever wrote it, and anything that is not as it should be is described."""

from __future__ import annotations

import gzip
import math
import pickle
import struct
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from isograd.data import DatasetSplits, read_mnist_pickle
from isograd.errors import FileAccessError, FileFormatError, IsogradError

Array = npt.NDArray[Any]
Pair = tuple[Array, Array]

LIMIT = 2**24
# The function-scoped directory is only a place for one file, written anew each time.
reuse = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def book(count: int = 3, dtype: str = "f4") -> tuple[Pair, Pair, Pair]:
    """Three small pairs in the book's layout."""

    def pair(start: int) -> Pair:
        inputs = (np.arange(start, start + 4 * count).reshape(count, 4) / 256).astype(dtype)
        return inputs, np.arange(count, dtype=np.int64)

    return pair(0), pair(20), pair(40)


def write(folder: Path, content: bytes, packed: bool = False) -> Path:
    path = folder / "file.pkl.gz"
    path.write_bytes(gzip.compress(content, 1) if packed else content)
    return path


def read_within(path: Path, factor: float = 3.0, limit: int = LIMIT) -> DatasetSplits | IsogradError:
    """What `read_mnist_pickle` returns or raises; fails if it held more than `factor` times the limit."""
    tracemalloc.start()
    try:
        return read_mnist_pickle(path, max_bytes=limit)
    except IsogradError as error:
        return error
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak <= factor * limit


def assert_equal(splits: DatasetSplits, expected: tuple[Pair, ...]) -> None:
    for part, (inputs, labels) in zip(splits, expected, strict=True):
        assert part is not None
        assert np.array_equal(part.inputs, inputs)
        assert np.array_equal(part.labels, labels)


# --- Pickles as Python 2 wrote them, byte by byte -----------------------------------------------------------


def python2_text(array: Array) -> bytes:
    """One array in protocol 0, the default of Python 2's `cPickle.dump`."""
    code, order = array.dtype.str[1:].encode(), array.dtype.str[:1].replace("|", "|").encode()
    shape = b"".join(b"I%d\n" % extent for extent in array.shape)
    values = b"".join(b"\\x%02x" % byte for byte in array.tobytes())
    return (
        b"cnumpy.core.multiarray\n_reconstruct\np1\n(cnumpy\nndarray\np2\n(I0\ntp3\nS'b'\np4\ntp5\nRp6\n"
        b"(I1\n(" + shape + b"tp7\ncnumpy\ndtype\np8\n(S'" + code + b"'\nI0\nI1\ntp9\nRp10\n"
        b"(I3\nS'" + order + b"'\nNNNI-1\nI-1\nI0\ntbI00\nS'" + values + b"'\np11\ntp12\nb"
    )


def python2_binary(array: Array) -> bytes:
    """One array in protocol 2, as the book's file has it."""
    code, order = array.dtype.str[1:].encode(), array.dtype.str[:1].encode()
    shape = b"".join(b"J" + struct.pack("<i", extent) for extent in array.shape)
    shape = (
        b"(" + shape + b"t" if array.ndim > 3 else shape + {1: b"\x85", 2: b"\x86", 3: b"\x87"}[array.ndim]
    )
    values = array.tobytes()
    return (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87Rq\x03"
        b"(K\x01" + shape + b"cnumpy\ndtype\nq\x04U" + bytes([len(code)]) + code + b"K\x00K\x01\x87Rq\x05"
        b"(K\x03U\x01" + order + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"T" + struct.pack("<i", len(values)) + values + b"tb"
    )


def python2_file(pairs: tuple[Pair, ...], protocol: int) -> bytes:
    if protocol == 0:
        items = b"".join(b"(" + python2_text(x) + python2_text(y) + b"t" for x, y in pairs)
        return b"(" + items + b"t."
    items = b"".join(python2_binary(x) + python2_binary(y) + b"\x86" for x, y in pairs)
    return b"\x80\x02" + items + b"\x87."


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("protocol", [0, 2])
def test_a_pickle_of_python_2_is_read(tmp_path: Path, protocol: int, packed: bool) -> None:
    expected = book()
    splits = read_mnist_pickle(write(tmp_path, python2_file(expected, protocol), packed), name="book")
    assert_equal(splits, expected)
    assert splits.training.inputs.dtype == np.float32
    assert splits.training.labels.dtype == np.int32
    assert (splits.training.scale, splits.training.name) == (1.0, "book")


def test_the_hand_made_pickles_are_what_numpy_itself_reads() -> None:
    for protocol in (0, 2):
        content = python2_file(book(), protocol)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            own = pickle.loads(content, encoding="latin1")
        assert np.array_equal(own[0][0], book()[0][0])
        assert np.array_equal(own[2][1], book()[2][1])


# --- Pickles of today's Python and NumPy --------------------------------------------------------------------


@reuse
@given(
    inputs=st.sampled_from(["u1", "i1", "<i2", ">i2", "<u4", "<f2", "<f4", ">f4", "<f8"]).flatmap(
        lambda dtype: hnp.arrays(
            dtype, hnp.array_shapes(min_dims=2, max_dims=4, max_side=4), elements=st.integers(0, 100)
        )
    ),
    fortran=st.booleans(),
    protocol=st.integers(0, pickle.HIGHEST_PROTOCOL),
)
def test_a_pickle_of_any_protocol_is_read_exactly(
    tmp_path: Path, inputs: Array, fortran: bool, protocol: int
) -> None:
    stored = np.asfortranarray(inputs) if fortran else inputs
    labels = np.arange(len(inputs))
    path = write(tmp_path, pickle.dumps(((stored, labels),) * 3, protocol))
    assert_equal(read_mnist_pickle(path), ((inputs, labels),) * 3)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_lists_of_arrays_and_of_scalars_are_stacked_as_in_the_books_expanded_file(
    tmp_path: Path, protocol: int
) -> None:
    expected = book()
    lists = [[list(inputs), list(labels)] for inputs, labels in expected]
    assert_equal(read_mnist_pickle(write(tmp_path, pickle.dumps(lists, protocol))), expected)


def test_reading_warns_of_nothing(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_mnist_pickle(write(tmp_path, python2_file(book(), 2)))


def test_the_limit_is_on_what_the_file_unpacks_to(tmp_path: Path) -> None:
    path = write(tmp_path, pickle.dumps(book(1000)), packed=True)
    assert len(read_mnist_pickle(path, max_bytes=10**6).training) == 1000
    with pytest.raises(FileFormatError, match="max_bytes"):
        read_mnist_pickle(path, max_bytes=50_000)


# --- Layout and damage ------------------------------------------------------------------------------------

X, Y = np.zeros((2, 3), np.float32), np.zeros(2, int)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (X, "expected the file to be a tuple of 3, got a _Array"),
        (((X, Y), (X, Y)), "expected the file to be a tuple of 3, got a tuple of 2"),
        (((X, Y), (X, Y), X), "expected each part to be a tuple of 2"),
        (((X, Y), (X, Y), (X, Y, Y)), "test: expected each part to be a tuple of 2, got a tuple of 3"),
        (((X, Y), (X, Y[:1]), (X, Y)), "validation: inputs and labels"),
        (((X, Y - 1), (X, Y), (X, Y)), "training: labels: "),
        (((X * math.nan, Y), (X, Y), (X, Y)), "training: inputs: expected finite"),
        (((None, Y), (X, Y), (X, Y)), "got a NoneType"),
        ((([], Y), (X, Y), (X, Y)), "got a list"),
        ((([X[0], 3], Y), (X, Y), (X, Y)), "expected a list of arrays, got a int in it"),
        ((([X[0], X[0, :2]], Y), (X, Y), (X, Y)), "differ in shape or dtype"),
        ((([X[0], X[0].astype("f8")], Y), (X, Y), (X, Y)), "differ in shape or dtype"),
    ],
)
def test_another_layout_is_described(tmp_path: Path, content: Any, words: str) -> None:
    with pytest.raises(FileFormatError) as caught:
        read_mnist_pickle(write(tmp_path, pickle.dumps(content, 2)))
    assert words in str(caught.value)


@reuse
@given(protocol=st.integers(0, 5), packed=st.booleans(), data=st.data())
def test_a_truncated_file_is_refused(
    tmp_path: Path, protocol: int, packed: bool, data: st.DataObject
) -> None:
    path = write(tmp_path, pickle.dumps(book(), protocol), packed)
    content = path.read_bytes()
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(FileFormatError, match=str(path)):
        read_mnist_pickle(path)


@reuse
@given(protocol=st.integers(0, 5), packed=st.booleans(), data=st.data())
def test_flipped_bits_give_data_or_an_isograd_error(
    tmp_path: Path, protocol: int, packed: bool, data: st.DataObject
) -> None:
    path = write(tmp_path, pickle.dumps(book(), protocol), packed)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    result = read_within(path)
    if isinstance(result, DatasetSplits):
        assert len(result.training) == len(book()[0][0])


@pytest.mark.parametrize("packed", [False, True])
def test_anything_after_the_pickle_is_refused(tmp_path: Path, packed: bool) -> None:
    with pytest.raises(FileFormatError, match="more data"):
        read_mnist_pickle(write(tmp_path, pickle.dumps(book()) + b"x", packed))


def test_a_missing_file_is_an_access_error(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match="absent"):
        read_mnist_pickle(tmp_path / "absent.pkl.gz")
