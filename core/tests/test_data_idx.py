"""IDX files: a legal one is read exactly; any other is an IsogradError and takes no memory on its word."""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from isograd.data import read_idx, read_idx_folder, read_idx_pair
from isograd.errors import ArgumentTypeError, FileAccessError, FileFormatError, IsogradError

Array = npt.NDArray[Any]

CODES = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}
NAMES = [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]

numbers = st.sampled_from(sorted(CODES)).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(max_dims=4, max_side=5))
)
# A few of the pieces in which files are read.
LITTLE = 2**22
# The function-scoped directory is only a place for one file, written anew each time.
reuse = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def header(code: int, shape: tuple[int, ...]) -> bytes:
    return bytes([0, 0, code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)


def idx(array: Array) -> bytes:
    swapped = array.astype(array.dtype.newbyteorder(">"))
    return header(CODES[str(array.dtype)], array.shape) + swapped.tobytes()


def write(folder: Path, content: bytes, packed: bool = False) -> Path:
    path = folder / "file"
    path.write_bytes(gzip.compress(content, compresslevel=1, mtime=0) if packed else content)
    return path


def read_within(path: Path, **options: Any) -> Array | IsogradError:
    """What `read_idx` returns or raises; fails if it ever held much more than it was given."""
    tracemalloc.start()
    try:
        return read_idx(path, **options)
    except IsogradError as error:
        return error
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak <= LITTLE


# --- Legal files --------------------------------------------------------------------------------------------


@reuse
@given(array=numbers, packed=st.booleans())
def test_a_written_array_is_read_back_exactly(tmp_path: Path, array: Array, packed: bool) -> None:
    read = read_idx(write(tmp_path, idx(array), packed))
    assert read.dtype == array.dtype
    assert read.dtype.isnative
    assert read.shape == array.shape
    assert read.tobytes() == array.tobytes()
    assert not read.flags.writeable


def test_the_digest_is_of_the_unpacked_file(tmp_path: Path) -> None:
    content = idx(np.arange(6, dtype=np.int32).reshape(2, 3))
    path = write(tmp_path, content, packed=True)
    digest = hashlib.sha256(content).hexdigest()
    assert read_idx(path, sha256=digest.upper()).shape == (2, 3)
    with pytest.raises(FileFormatError, match=f"SHA-256 is {digest}, not 00"):
        read_idx(path, sha256="00")


def test_gzip_is_recognised_by_its_first_bytes_and_not_by_the_name(tmp_path: Path) -> None:
    array = np.arange(4, dtype=np.uint8)
    plain = tmp_path / "plain.gz"
    plain.write_bytes(idx(array))
    assert read_idx(plain).tolist() == [0, 1, 2, 3]
    assert read_idx(str(write(tmp_path, idx(array), packed=True))).tolist() == [0, 1, 2, 3]


def test_a_file_as_large_as_the_limit_is_read_and_a_larger_one_is_not(tmp_path: Path) -> None:
    path = write(tmp_path, idx(np.zeros((10, 10), np.float64)))
    assert read_idx(path, max_bytes=800).shape == (10, 10)
    with pytest.raises(FileFormatError, match="max_bytes=799"):
        read_idx(path, max_bytes=799)


# --- Damaged and hostile files ------------------------------------------------------------------------------


@reuse
@given(array=numbers, packed=st.booleans(), data=st.data())
def test_a_truncated_file_is_refused(tmp_path: Path, array: Array, packed: bool, data: st.DataObject) -> None:
    path = write(tmp_path, idx(array), packed)
    content = path.read_bytes()
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(FileFormatError, match=str(path)):
        read_idx(path)


@reuse
@given(array=numbers, packed=st.booleans(), more=st.binary(min_size=1, max_size=9).filter(any))
def test_anything_after_the_values_is_refused(
    tmp_path: Path, array: Array, packed: bool, more: bytes
) -> None:
    path = write(tmp_path, idx(array) + more, packed)
    with pytest.raises(FileFormatError, match="more data"):
        read_idx(path)


@reuse
@given(array=numbers, packed=st.booleans(), data=st.data())
def test_flipped_bits_give_an_array_or_an_isograd_error_and_take_little_memory(
    tmp_path: Path, array: Array, packed: bool, data: st.DataObject
) -> None:
    path = write(tmp_path, idx(array), packed)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    result = read_within(path)
    if not isinstance(result, IsogradError):
        assert result.nbytes + 4 + 4 * result.ndim == len(idx(result))


@reuse
@given(content=st.binary(max_size=200), start=st.sampled_from([b"", b"\0\0\x08\x02", b"\x1f\x8b\x08\0"]))
def test_arbitrary_bytes_give_an_array_or_an_isograd_error(
    tmp_path: Path, content: bytes, start: bytes
) -> None:
    read_within(write(tmp_path, start + content))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("shape", [(2**32 - 1,), (2**30,), (2**16, 2**16), (2**32 - 1,) * 60, (1, 2**31, 1)])
def test_a_header_alone_takes_no_memory(tmp_path: Path, shape: tuple[int, ...], packed: bool) -> None:
    path = write(tmp_path, header(0x08, shape) + b"some", packed)
    for limit in (2**40, 2**3000):
        assert isinstance(read_within(path, max_bytes=limit), FileFormatError)


def test_a_gzip_bomb_is_not_unpacked_beyond_what_its_header_announces(tmp_path: Path) -> None:
    path = write(tmp_path, header(0x08, (10, 10)) + bytes(50 * 2**20), packed=True)
    assert path.stat().st_size < 2**20
    result = read_within(path)
    assert isinstance(result, FileFormatError)
    assert "more data" in str(result)


def test_a_gzip_bomb_with_an_honest_header_stops_at_the_limit(tmp_path: Path) -> None:
    path = write(tmp_path, header(0x08, (50, 2**20)) + bytes(50 * 2**20), packed=True)
    result = read_within(path, max_bytes=2**24)
    assert isinstance(result, FileFormatError)
    assert "max_bytes" in str(result)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "begins with nothing"),
        (b"\0\0\x08", "begins with 00 00 08"),
        (b"\x89PNG\r\n", "begins with 89 50 4e 47"),
        (b"\0\0\x0a\x01\0\0\0\x01\0", "not an IDX file"),
        (b"\0\x01\x08\x01\0\0\0\x01\0", "not an IDX file"),
        (b"\0\0\x08\0\0", "1 to 64 dimensions, the header says 0"),
        (b"\0\0\x08\x41" + b"\0\0\0\x01" * 65 + b"\0", "1 to 64 dimensions, the header says 65"),
        (b"\0\0\x08\x02\0\0\0\x01\0\0", "within its header"),
        (b"\0\0\x08\x01\0\0\0\0", r"no data.*\(0,\)"),
        (b"\0\0\x08\x02\0\0\0\0\xff\xff\xff\xff", "no data"),
    ],
)
def test_a_wrong_header_is_described(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(FileFormatError, match=words):
        read_idx(write(tmp_path, content))


def test_64_dimensions_are_read(tmp_path: Path) -> None:
    assert read_idx(write(tmp_path, header(0x08, (1,) * 64) + b"\7")).shape == (1,) * 64


def test_a_packed_file_with_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, idx(np.arange(9, dtype=np.uint8)), packed=True)
    content = bytearray(path.read_bytes())
    content[-8] ^= 1
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match="gzip"):
        read_idx(path)


# --- Paths --------------------------------------------------------------------------------------------------


def test_a_missing_file_and_a_folder_are_access_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(FileAccessError, match=str(path)):
            read_idx(path)
    with pytest.raises(FileAccessError):
        read_idx("a\0b")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a user whom permissions bind")
def test_an_unreadable_file_is_an_access_error(tmp_path: Path) -> None:
    path = write(tmp_path, idx(np.zeros(3, np.uint8)))
    path.chmod(0)
    with pytest.raises(FileAccessError, match="ermission"):
        read_idx(path)


@pytest.mark.parametrize("path", [0, None, 1.5, b"file"])
def test_what_is_no_path_is_refused_by_type(path: Any) -> None:
    with pytest.raises(ArgumentTypeError, match=r"^path: "):
        read_idx(path)


# --- Pairs and folders --------------------------------------------------------------------------------------


def write_pair(folder: Path, inputs: Array, labels: Array) -> tuple[Path, Path]:
    images, targets = folder / "images", folder / "labels"
    images.write_bytes(idx(inputs))
    targets.write_bytes(idx(labels))
    return images, targets


def test_a_pair_of_bytes_gets_a_channel_axis_and_the_chapters_scale(tmp_path: Path) -> None:
    inputs = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    data = read_idx_pair(*write_pair(tmp_path, inputs, np.array([1, 0], np.uint8)), name="two")
    assert data.inputs.dtype == np.uint8
    assert np.array_equal(data.inputs, inputs.reshape(2, 1, 3, 4))
    assert data.labels.tolist() == [1, 0]
    assert (data.scale, data.name) == (1 / 256, "two")


@pytest.mark.parametrize("shape", [(2, 5), (2, 3, 4, 5)])
def test_other_ranks_and_types_are_kept_with_scale_1(tmp_path: Path, shape: tuple[int, ...]) -> None:
    inputs = np.arange(math.prod(shape), dtype=np.float32).reshape(shape)
    data = read_idx_pair(*write_pair(tmp_path, inputs, np.array([1, 0], np.int16)))
    assert np.array_equal(data.inputs, inputs)
    assert data.scale == 1.0


@pytest.mark.parametrize(
    ("inputs", "labels"),
    [
        (np.zeros((2, 3), np.uint8), np.zeros(3, np.uint8)),
        (np.zeros((2, 3), np.uint8), np.array([-1, 0], np.int8)),
        (np.zeros((2, 3), np.uint8), np.zeros(2, np.float32)),
        (np.zeros((2, 3), np.uint8), np.zeros((2, 2), np.uint8)),
        (np.zeros(2, np.uint8), np.zeros(2, np.uint8)),
        (np.array([[math.nan]], np.float32), np.zeros(1, np.uint8)),
    ],
)
def test_files_that_do_not_fit_together_are_named(tmp_path: Path, inputs: Array, labels: Array) -> None:
    images, targets = write_pair(tmp_path, inputs, labels)
    with pytest.raises(FileFormatError, match=f"{images} and {targets}: "):
        read_idx_pair(images, targets)


def write_folder(folder: Path, suffixes: tuple[str, ...]) -> None:
    for number, (name, suffix) in enumerate(zip(NAMES, suffixes, strict=True)):
        count = 12 if number < 2 else 4
        array = np.full((count, 2, 2) if number % 2 == 0 else (count,), number, np.uint8)
        content = idx(array)
        (folder / f"{name}{suffix}").write_bytes(gzip.compress(content) if suffix else content)


@pytest.mark.parametrize("suffixes", [("",) * 4, (".gz",) * 4, ("", ".gz", ".gz", "")])
def test_a_folder_is_read_by_the_standard_names(tmp_path: Path, suffixes: tuple[str, ...]) -> None:
    write_folder(tmp_path, suffixes)
    training, validation, test = read_idx_folder(tmp_path)
    assert validation is None
    assert test is not None
    assert training.inputs.shape == (12, 1, 2, 2)
    assert (set(training.labels), set(test.labels)) == ({1}, {3})
    assert set(test.inputs.ravel()) == {2}
    assert training.name == tmp_path.name


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_of_a_folder_is_named(tmp_path: Path, name: str) -> None:
    write_folder(tmp_path, (".gz",) * 4)
    (tmp_path / f"{name}.gz").unlink()
    with pytest.raises(FileAccessError, match=rf"{name} or {name}\.gz"):
        read_idx_folder(tmp_path)
