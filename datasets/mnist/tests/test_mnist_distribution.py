"""The MNIST distribution: the right digits, in the chapter's split, refused when a byte differs."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from isograd import plugins
from isograd.data import Dataset, DatasetSplits, load_dataset
from isograd.errors import FileAccessError, FileFormatError
from isograd_mnist import digits, plugin

# Training and validation add up to the well-known 5923, 6742, 5958, ... of MNIST's 60,000.
HISTOGRAMS = {
    "training": [4932, 5678, 4968, 5101, 4859, 4506, 4951, 5175, 4842, 4988],
    "validation": [991, 1064, 990, 1030, 983, 915, 967, 1090, 1009, 961],
    "test": [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
}


FIRST_DIGIT = [
    ".............##.###..",
    "....##########.......",
    ".....#.###...#.......",
    ".......###...........",
    ".........###.........",
    "...........####......",
    ".............###.....",
    ".........#######.....",
    "......######.........",
    ".########............",
]
FINGERPRINT = "4e49c702614433cead69e10f60f73be3"


@pytest.fixture(scope="module")
def splits() -> DatasetSplits:
    return digits.load()


def part(splits: DatasetSplits, name: str) -> Dataset:
    found = getattr(splits, name)
    assert isinstance(found, Dataset)
    return found


@pytest.mark.parametrize(("name", "count"), [("training", 50_000), ("validation", 10_000), ("test", 10_000)])
def test_each_part_has_the_chapters_size_and_stays_uint8(
    splits: DatasetSplits, name: str, count: int
) -> None:
    data = part(splits, name)
    assert data.inputs.shape == (count, 1, 28, 28)
    assert data.inputs.dtype == np.uint8
    assert data.labels.shape == (count,)
    assert data.labels.dtype == np.int32
    assert data.scale == 1 / 256
    assert data.classes == ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")


@pytest.mark.parametrize("name", HISTOGRAMS)
def test_each_part_has_the_known_count_of_every_digit(splits: DatasetSplits, name: str) -> None:
    assert np.bincount(part(splits, name).labels).tolist() == HISTOGRAMS[name]


def test_the_order_is_that_of_the_files(splits: DatasetSplits) -> None:
    assert splits.training.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert part(splits, "test").labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


def test_the_first_digit_looks_like_a_five(splits: DatasetSplits) -> None:
    rows = splits.training.inputs[0, 0, 5:25:2, 4:25] > 127
    drawn = ["".join(".#"[int(pixel)] for pixel in row) for row in rows]
    assert drawn == FIRST_DIGIT


def test_pixels_use_the_whole_range_of_a_byte(splits: DatasetSplits) -> None:
    for name in HISTOGRAMS:
        assert part(splits, name).inputs.min() == 0
        assert part(splits, name).inputs.max() == 255


def test_the_fingerprint_of_the_training_data_is_the_known_one(splits: DatasetSplits) -> None:
    assert splits.training.fingerprint() == FINGERPRINT


def test_validation_and_training_share_the_memory_of_one_array(splits: DatasetSplits) -> None:
    assert part(splits, "validation").inputs.base is splits.training.inputs.base


# --- Damage -------------------------------------------------------------------------------------------------


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package directory of our own from which the loader reads."""
    shutil.copytree(str(files("isograd_mnist").joinpath("data")), tmp_path / "data")
    monkeypatch.setattr(digits, "files", lambda _: tmp_path)
    return tmp_path / "data"


def test_an_undamaged_copy_is_accepted(copy: Path, splits: DatasetSplits) -> None:
    assert digits.load().training.fingerprint() == splits.training.fingerprint()


@pytest.mark.parametrize("name", digits._SHA256)
def test_a_copy_with_one_other_pixel_or_label_is_refused(copy: Path, name: str) -> None:
    path = copy / f"{name}.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[-5] ^= 1
    path.write_bytes(gzip.compress(content, compresslevel=1))
    with pytest.raises(FileFormatError, match=f"{name}.*SHA-256"):
        digits.load()


def test_a_damaged_packing_is_refused(copy: Path) -> None:
    path = copy / "t10k-labels-idx1-ubyte.gz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=path.name):
        digits.load()


def test_a_missing_file_is_reported_by_name(copy: Path) -> None:
    (copy / "t10k-images-idx3-ubyte.gz").unlink()
    with pytest.raises(FileAccessError, match="t10k-images-idx3-ubyte"):
        digits.load()


def test_the_packed_files_carry_no_time_stamp_so_that_builds_are_reproducible() -> None:
    packed = [one for one in files("isograd_mnist").joinpath("data").iterdir() if one.name.endswith(".gz")]
    assert len(packed) == 4
    for one in packed:
        assert one.read_bytes()[4:8] == b"\0\0\0\0"


# --- The plugin ---------------------------------------------------------------------------------------------


def test_the_entry_point_names_this_plugin() -> None:
    project = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["entry-points"]["isograd.plugins.v1"] == {"mnist": plugin.__name__}


def test_the_plugin_offers_the_digits_by_name(splits: DatasetSplits) -> None:
    (descriptor,) = plugin.isograd_datasets()
    assert descriptor.name == "mnist"
    assert descriptor.licence == "CC BY-SA 3.0"
    assert descriptor.examples == sum(len(part(splits, name)) for name in HISTOGRAMS)
    assert descriptor.load().training.fingerprint() == splits.training.fingerprint()


def test_load_dataset_finds_it_through_the_registry(
    monkeypatch: pytest.MonkeyPatch, splits: DatasetSplits
) -> None:
    registry = plugins.PluginRegistry(path=[])
    registry.register(plugin, "mnist")
    monkeypatch.setattr(plugins, "load_dataset_plugin", registry.load_dataset_plugin)
    training, validation, test = load_dataset("mnist", feature_shape=(784,))
    assert training.feature_shape == (784,)
    assert validation is not None
    assert test is not None
    assert np.array_equal(test.inputs, part(splits, "test").inputs.reshape(-1, 784))


def test_importing_the_plugin_imports_no_numpy() -> None:
    code = "import isograd_mnist.plugin, sys; sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
