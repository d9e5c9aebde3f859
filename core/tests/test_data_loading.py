"""`load_dataset`: a bare word asks the plugins, anything else is a path; both give `DatasetSplits`."""

from __future__ import annotations

import gzip
import pickle
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isograd import plugins
from isograd.data import Dataset, DatasetSplits, load_dataset
from isograd.errors import (
    ArgumentError,
    ArgumentTypeError,
    FileAccessError,
    FileFormatError,
    PluginError,
    ShapeError,
)

X = np.arange(24 * 6, dtype=np.uint8).reshape(24, 2, 3)
Y = np.arange(24) % 10


def write_folder(folder: Path, count: int = 24) -> Path:
    folder.mkdir()
    for part, rows in (("train", count), ("t10k", 2)):
        images = b"\0\0\x08\3" + struct.pack(">3I", rows, 2, 3) + X[:rows].tobytes()
        labels = b"\0\0\x08\1" + struct.pack(">I", rows) + Y[:rows].astype(np.uint8).tobytes()
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(labels)
    return folder


def write_npz(folder: Path, **arrays: Any) -> Path:
    path = folder / "some.npz"
    np.savez(path, **(arrays or {"x_train": X, "y_train": Y}))
    return path


def write_pickle(path: Path) -> Path:
    content = pickle.dumps(((X / np.float32(256), Y),) * 3, 2)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Install a data set "digits" whose loading calls the given function."""

    def install(load: Callable[[], Any]) -> None:
        registry = plugins.PluginRegistry(path=[])
        descriptor = plugins.DatasetDescriptor("digits", "Some digits", load, licence="CC0-1.0", examples=24)
        registry.register(descriptor)
        monkeypatch.setattr(plugins, "load_dataset_plugin", registry.load_dataset_plugin)

    return install


# --- Paths --------------------------------------------------------------------------------------------------


def test_a_folder_of_idx_files_is_split_as_in_the_chapter(tmp_path: Path) -> None:
    training, validation, test = load_dataset(write_folder(tmp_path / "mnist"))
    assert validation is not None
    assert test is not None
    # A sixth, as 10,000 of 60,000, and the last of them.
    assert (len(training), len(validation), len(test)) == (20, 4, 2)
    assert np.array_equal(np.concatenate([training.inputs, validation.inputs])[:, 0], X)
    assert training.feature_shape == (1, 2, 3)


def test_a_folder_with_very_few_examples_has_no_validation_data(tmp_path: Path) -> None:
    assert load_dataset(write_folder(tmp_path / "few", count=5)).validation is None


@pytest.mark.parametrize("size", [1, 23])
def test_the_size_of_the_validation_data_can_be_chosen(tmp_path: Path, size: int) -> None:
    for path in (write_folder(tmp_path / "mnist"), write_npz(tmp_path)):
        training, validation, _ = load_dataset(path, validation_size=size)
        assert validation is not None
        assert (len(training), len(validation)) == (24 - size, size)


def test_an_npz_file_is_read_by_its_suffix_and_splits_only_on_demand(tmp_path: Path) -> None:
    path = write_npz(tmp_path)
    splits = load_dataset(str(path))
    assert (len(splits.training), splits.validation, splits.test) == (24, None, None)
    assert splits.training.name == "some.npz"


@pytest.mark.parametrize("name", ["mnist.pkl", "mnist.pkl.gz"])
def test_the_books_pickle_is_read_by_its_suffix(tmp_path: Path, name: str) -> None:
    splits = load_dataset(write_pickle(tmp_path / name))
    assert splits.test is not None
    assert np.array_equal(splits.test.inputs, X / np.float32(256))


def test_every_part_gets_the_wanted_feature_shape(tmp_path: Path) -> None:
    for part in load_dataset(write_folder(tmp_path / "mnist"), feature_shape=(6,)):
        assert part is not None
        assert part.feature_shape == (6,)
    with pytest.raises(ShapeError, match=r"^feature_shape: "):
        load_dataset(tmp_path / "mnist", feature_shape=(7,))


def test_the_limit_reaches_every_reader(tmp_path: Path) -> None:
    paths = write_folder(tmp_path / "mnist"), write_npz(tmp_path), write_pickle(tmp_path / "mnist.pkl.gz")
    for path in paths:
        with pytest.raises(FileFormatError, match="max_bytes"):
            load_dataset(path, max_bytes=100)


def test_a_source_with_validation_data_refuses_to_hold_out_others(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"^validation_size: .*already"):
        load_dataset(write_pickle(tmp_path / "mnist.pkl"), validation_size=2)


def test_an_impossible_validation_size_is_refused(tmp_path: Path) -> None:
    for size in (0, 24, -1):
        with pytest.raises(ArgumentError, match=r"^validation_size: "):
            load_dataset(write_npz(tmp_path), validation_size=size)


@pytest.mark.parametrize("name", ["data.csv", "mnist.gz", "./mnist", "a/b"])
def test_an_unknown_kind_of_file_is_refused_with_those_that_are_known(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArgumentError, match=r"\.npz, \.pkl or \.pkl\.gz; got"):
        load_dataset(name)


def test_a_missing_file_of_a_known_kind_is_an_access_error(tmp_path: Path) -> None:
    for name in ("absent.npz", "absent.pkl.gz"):
        with pytest.raises(FileAccessError, match="absent"):
            load_dataset(tmp_path / name)


@pytest.mark.parametrize("name", [None, 3, b"mnist"])
def test_what_is_neither_name_nor_path_is_refused_by_type(name: Any) -> None:
    with pytest.raises(ArgumentTypeError):
        load_dataset(name)


# --- Names --------------------------------------------------------------------------------------------------


def some_splits() -> DatasetSplits:
    return DatasetSplits(Dataset(X, Y, scale=1 / 256, name="digits"))


def test_a_bare_word_asks_the_plugins_even_where_a_folder_has_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offer: Callable[[Callable[[], Any]], None]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "digits", count=12)
    offer(some_splits)
    assert len(load_dataset("digits").training) == 24
    assert len(load_dataset("./digits").training) == 10
    assert len(load_dataset(Path("digits")).training) == 10


def test_options_apply_to_a_plugins_data_too(offer: Callable[[Callable[[], Any]], None]) -> None:
    offer(some_splits)
    training, validation, _ = load_dataset("digits", feature_shape=(1, 2, 3), validation_size=4)
    assert validation is not None
    assert (len(training), len(validation)) == (20, 4)
    assert validation.feature_shape == (1, 2, 3)


def test_an_unknown_name_lists_what_is_installed(offer: Callable[[Callable[[], Any]], None]) -> None:
    offer(some_splits)
    with pytest.raises(ArgumentError, match=r"'letters'[\s\S]*digits"):
        load_dataset("letters")


def test_a_plugin_that_fails_is_named_with_its_cause(offer: Callable[[Callable[[], Any]], None]) -> None:
    def fail() -> DatasetSplits:
        raise KeyError("no such drawer")

    offer(fail)
    with pytest.raises(PluginError, match=r"'digits'.*KeyError.*no such drawer") as caught:
        load_dataset("digits")
    assert isinstance(caught.value.__cause__, KeyError)


def test_an_isograd_error_of_a_plugin_keeps_its_type(offer: Callable[[Callable[[], Any]], None]) -> None:
    def fail() -> DatasetSplits:
        raise FileFormatError("the digits are damaged")

    offer(fail)
    with pytest.raises(FileFormatError, match="the digits are damaged"):
        load_dataset("digits")


@pytest.mark.parametrize("result", [None, (X, Y), (Dataset(X, Y), None, None)])
def test_a_plugin_that_returns_something_else_is_named(
    offer: Callable[[Callable[[], Any]], None], result: Any
) -> None:
    offer(lambda: result)
    with pytest.raises(PluginError, match=r"'digits' loaded as .*expected DatasetSplits"):
        load_dataset("digits")


def test_importing_the_data_package_finds_no_plugins() -> None:
    code = "import isograd.data, sys; sys.exit('isograd.plugins' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
