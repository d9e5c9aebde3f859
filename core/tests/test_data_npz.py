"""``.npz`` files: the arrays that are named, without pickle, within a limit, or an IsogradError."""

from __future__ import annotations

import io
import struct
import tracemalloc
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from isograd.data import DatasetSplits, read_npz
from isograd.errors import FileAccessError, FileFormatError, IsogradError

Array = npt.NDArray[Any]

# A few of the pieces in which files are read; and what Python's own parser takes for a deep literal.
LITTLE = 2**24
# The function-scoped directory is only a place for one file, written anew each time.
reuse = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
X = np.arange(12, dtype=np.float32).reshape(3, 4)
Y = np.array([0, 1, 2])


def write(folder: Path, arrays: dict[str, Any], packed: bool = False) -> Path:
    path = folder / "data.npz"
    save = np.savez_compressed if packed else np.savez
    save(path, **arrays)
    return path


def write_raw(folder: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    path = folder / "raw.npz"
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def npy(array: Array) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def npy_header(text: str | bytes, version: int = 1) -> bytes:
    """The beginning of a .npy member with a header of our own choice."""
    raw = text.encode() if isinstance(text, str) else text
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(raw)) + raw


def describe(descr: str, shape: str, fortran: str = "False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n"


def read_within(path: Path, **options: Any) -> DatasetSplits | IsogradError:
    """What `read_npz` returns or raises; fails if it ever held much more than it was given."""
    tracemalloc.start()
    try:
        return read_npz(path, **options)
    except IsogradError as error:
        return error
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak <= LITTLE


# --- Legal files --------------------------------------------------------------------------------------------


@reuse
@given(
    inputs=st.sampled_from(["u1", "<f4", ">f4", "<f8"]).flatmap(
        lambda dtype: hnp.arrays(
            dtype, hnp.array_shapes(min_dims=2, max_side=4), elements=st.integers(0, 255)
        )
    ),
    fortran=st.booleans(),
    packed=st.booleans(),
)
def test_a_saved_pair_is_read_back_exactly(
    tmp_path: Path, inputs: Array, fortran: bool, packed: bool
) -> None:
    labels = np.arange(len(inputs))
    stored = np.asfortranarray(inputs) if fortran else inputs
    training, validation, test = read_npz(write(tmp_path, {"x": stored, "y": labels}, packed), name="mine")
    assert (validation, test) == (None, None)
    assert np.array_equal(training.inputs, inputs)
    assert training.inputs.dtype == inputs.dtype.newbyteorder("=")
    assert np.array_equal(training.labels, labels)
    assert training.scale == (1 / 256 if inputs.dtype == np.uint8 else 1.0)
    assert training.name == "mine"


@pytest.mark.parametrize(
    ("training", "validation", "test"),
    [
        (("x_train", "y_train"), ("x_validation", "y_validation"), ("x_test", "y_test")),
        (("train_images", "train_labels"), ("val_images", "val_labels"), ("test_images", "test_labels")),
        (("images_training", "labels_training"), ("images_valid", "labels_valid"), None),
        (("inputs_train", "labels_train"), None, ("test_inputs", "test_labels")),
        (("x", "y"), None, ("x_test", "y_test")),
        (("inputs", "labels"), None, None),
        (("images", "labels"), ("x_val", "y_val"), None),
    ],
)
def test_splits_are_found_under_their_usual_names(
    tmp_path: Path,
    training: tuple[str, str],
    validation: tuple[str, str] | None,
    test: tuple[str, str] | None,
) -> None:
    arrays: dict[str, Any] = {"other": np.array([{"an": "object"}])}
    for number, pair in enumerate((training, validation, test)):
        if pair is not None:
            arrays |= {pair[0]: X + number, pair[1]: Y}
    splits = read_npz(write(tmp_path, arrays))
    for number, (pair, part) in enumerate(zip((training, validation, test), splits, strict=True)):
        if pair is None:
            assert part is None
        else:
            assert part is not None
            assert np.array_equal(part.inputs, X + number)


def test_a_scale_can_be_given(tmp_path: Path) -> None:
    path = write(tmp_path, {"x": X.astype(np.uint8), "y": Y})
    assert read_npz(path, scale=0.5).training.scale == 0.5


def test_labels_in_a_column_are_taken_as_labels(tmp_path: Path) -> None:
    assert read_npz(write(tmp_path, {"x": X, "y": Y.reshape(3, 1)})).training.labels.tolist() == [0, 1, 2]


def test_a_member_with_a_long_header_of_version_2_is_read(tmp_path: Path) -> None:
    member = npy_header(describe("'<f4'", "(3, 4)"), version=2) + X.tobytes()
    assert np.array_equal(read_npz(write_raw(tmp_path, {"x": member, "y": npy(Y)})).training.inputs, X)


# --- Missing and unfit arrays -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"a": X}, r"no training data.*\['a'\]"),
        ({"x_test": X, "y_test": Y}, "no training data"),
        ({"x": X}, "'x', but not its labels 'y'"),
        ({"x_train": X, "labels_train": Y}, "'x_train', but not its labels 'y_train'"),
        ({"x": X, "y": Y, "x_train": X, "y_train": Y}, "several arrays of training inputs"),
        ({"x": X, "y": Y, "x_val": X, "x_valid": X}, "several arrays of validation inputs"),
        ({"x": X, "y": Y[:2]}, "'x' and 'y': inputs and labels"),
        ({"x": X, "y": Y - 1}, "'x' and 'y': labels: "),
        ({"x": X * np.nan, "y": Y}, "'x' and 'y': inputs: "),
        ({"x": X[:0], "y": Y[:0]}, r"x\.npy: holds no data"),
        ({"x": X.astype(complex), "y": Y}, r"x\.npy: expected numbers, got complex128"),
        ({"x": X.astype("U3"), "y": Y}, r"x\.npy: expected numbers, got <U3"),
        ({"x": np.zeros(3, "i4,f4"), "y": Y}, r"x\.npy: expected numbers"),
        ({"x": X.astype(object), "y": Y}, r"x\.npy: expected numbers, got object; .*pickle"),
    ],
)
def test_what_is_missing_or_unfit_is_named(tmp_path: Path, arrays: dict[str, Any], words: str) -> None:
    with pytest.raises(FileFormatError, match=words):
        read_npz(write(tmp_path, arrays))


def test_the_limit_covers_all_arrays_together(tmp_path: Path) -> None:
    path = write(tmp_path, {"x": X, "y": Y})
    needed = 2 * 128 + X.nbytes + Y.nbytes
    assert len(read_npz(path, max_bytes=needed).training) == 3
    with pytest.raises(FileFormatError, match="max_bytes"):
        read_npz(path, max_bytes=needed - 1)


# --- Damaged and hostile files ------------------------------------------------------------------------------


@reuse
@given(packed=st.booleans(), data=st.data())
def test_a_truncated_file_is_refused(tmp_path: Path, packed: bool, data: st.DataObject) -> None:
    path = write(tmp_path, {"x": X, "y": Y}, packed)
    content = path.read_bytes()
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(FileFormatError, match=str(path)):
        read_npz(path)


@reuse
@given(packed=st.booleans(), data=st.data())
def test_flipped_bits_give_data_or_an_isograd_error_and_take_little_memory(
    tmp_path: Path, packed: bool, data: st.DataObject
) -> None:
    path = write(tmp_path, {"x": X, "y": Y}, packed)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    result = read_within(path)
    if not isinstance(result, IsogradError):
        # Each member has a checksum, so what is still read is what was written.
        assert np.array_equal(result.training.inputs, X)


@reuse
@given(header=st.binary(max_size=60), version=st.integers(1, 3))
def test_arbitrary_headers_are_refused(tmp_path: Path, header: bytes, version: int) -> None:
    path = write_raw(tmp_path, {"x": npy_header(header, version), "y": npy(Y)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert isinstance(read_within(path), FileFormatError)


@pytest.mark.parametrize(
    "header",
    [
        describe("'<f4'", "(1000000000000,)"),
        describe("'<f4'", "(3, 4611686018427387904)"),
        describe("'<f4'", "(-3, -4)"),
        describe("'<f4'", "(0, 4611686018427387904, 4611686018427387904)"),
        describe("'<f4'", "(1,) * 10"),
        describe("'<f4'", "3"),
        describe("'|O'", "(3, 4)"),
        describe("('<f4', (1000000, 1000000))", "(3, 4)"),
        describe("[('a', '<f4')]", "(3, 4)"),
        describe("'|V1000000000'", "(3, 4)"),
        describe("__import__('os').abort()", "(3, 4)"),
        "(" * 5000 + ")" * 5000,
        "[" * 9000,
        "-" * 9000 + "1",
        "{" * 90 + "}" * 90,
        "",
    ],
)
def test_a_hostile_header_is_refused_and_takes_no_memory(tmp_path: Path, header: str) -> None:
    path = write_raw(tmp_path, {"x": npy_header(header) + bytes(48), "y": npy(Y)})
    assert isinstance(read_within(path), FileFormatError)


def test_more_or_fewer_values_than_the_header_says_are_refused(tmp_path: Path) -> None:
    for content in (npy(X)[:-1], npy(X) + b"\0", npy(X)[:128]):
        with pytest.raises(FileFormatError, match=r"x\.npy"):
            read_npz(write_raw(tmp_path, {"x": content, "y": npy(Y)}))


def test_a_zip_bomb_stops_at_the_limit(tmp_path: Path) -> None:
    header = npy_header(describe("'|u1'", "(50, 1048576)"))
    path = write_raw(tmp_path, {"x": header + bytes(50 * 2**20), "y": npy(np.zeros(50, int))})
    assert path.stat().st_size < 2**20
    result = read_within(path, max_bytes=2**24)
    assert isinstance(result, FileFormatError)
    assert "max_bytes" in str(result)


def test_a_member_that_lies_about_its_size_is_not_unpacked_beyond_it(tmp_path: Path) -> None:
    header = npy_header(describe("'|u1'", "(3, 4)"))
    path = write_raw(tmp_path, {"x": header + bytes(50 * 2**20), "y": npy(Y)})
    claimed, true = struct.pack("<I", len(header) + 12), struct.pack("<I", len(header) + 50 * 2**20)
    content = path.read_bytes()
    assert content.count(true) == 2
    path.write_bytes(content.replace(true, claimed))
    assert isinstance(read_within(path), FileFormatError)


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_packing_that_reserves_memory_on_the_files_word_is_refused(tmp_path: Path, method: int) -> None:
    with pytest.raises(FileFormatError, match="deflate"):
        read_npz(write_raw(tmp_path, {"x": npy(X), "y": npy(Y)}, method))


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (marker,)

    hostile = np.empty((3, 1), object)
    hostile[:] = Hostile()
    for arrays in ({"x": hostile, "y": Y}, {"x": X, "y": Y, "other": hostile}):
        path = write(tmp_path, arrays)
        if "other" in arrays:
            assert len(read_npz(path).training) == 3
        else:
            with pytest.raises(FileFormatError, match="pickle"):
                read_npz(path)
    assert not marker.exists()


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    for content in (b"", b"text", npy(X), b"PK\5\6" + bytes(18)):
        path.write_bytes(content)
        with pytest.raises(FileFormatError, match=str(path)):
            read_npz(path)


def test_a_missing_file_and_a_folder_are_access_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.npz", tmp_path):
        with pytest.raises(FileAccessError, match=str(path)):
            read_npz(path)
