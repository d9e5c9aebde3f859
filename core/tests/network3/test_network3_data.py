"""Data in the listing's form: pairs of shared variables, from the book's files or from what is installed."""

from __future__ import annotations

import gzip
import io
import pickle
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import network3
from isograd.data import Dataset, DatasetSplits, expanded
from isograd.errors import ArgumentError, ArgumentTypeError, FileAccessError, FileFormatError, ShapeError
from isograd.network3 import Network, SoftmaxLayer
from isograd.testing import ReferenceBackend

Make = Callable[..., Dataset]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, make_digits: Make) -> DatasetSplits:
    """What is installed under the name "mnist"."""
    splits = DatasetSplits(*(make_digits(size, size) for size in (9, 4, 3)))
    monkeypatch.setattr("isograd.network3.data.load_dataset", {"mnist": splits}.__getitem__)
    return splits


@given(size=st.integers(1, 6), start=st.integers(0, 5))
def test_a_pair_has_the_data_set_s_scaled_inputs_and_its_labels(
    size: int, start: int, make_digits: Make
) -> None:
    digits = make_digits(size + start)
    x, y = pair = network3.shared(digits)
    assert network3.size(pair) == len(x) == len(y) == size + start
    assert network3.size((x.eval(), y.eval())) == size + start
    expected = digits.inputs.reshape(-1, 36) / np.float32(256)
    part = slice(start, None)
    for inputs, labels in (
        (x.get_value(borrow=True)[part], y.eval()[part]),
        (x[part].eval(), y[part].eval()),
    ):
        assert (inputs.dtype, labels.dtype) == (np.float32, np.int32)
        np.testing.assert_array_equal(inputs, expected[part])
        np.testing.assert_array_equal(labels, digits.labels[part])


def test_without_the_book_s_file_the_installed_digits_stand_in(installed: DatasetSplits) -> None:
    for pairs in (network3.load_data_shared(), network3.load_data_shared(filename="mnist.pkl.gz")):
        for (x, y), part in zip(pairs, installed, strict=True):
            assert x.data is y.data is part


def test_without_the_expanded_file_the_same_images_come_in_one_random_order(installed: DatasetSplits) -> None:
    training, validation, test = network3.load_data_shared("../data/mnist_expanded.pkl.gz")
    assert (validation[0].data, test[0].data) == installed[1:]
    assert network3.size(training) == 45
    plain = network3.shared(expanded(installed.training))

    def examples(pair: Any) -> list[tuple[Any, ...]]:
        return [
            (label, *image) for image, label in zip(*(half.eval().tolist() for half in pair), strict=True)
        ]

    assert sorted(examples(training)) == sorted(examples(plain))
    assert examples(training) != examples(plain)
    again = network3.load_data_shared("mnist_expanded.pkl.gz")[0]
    assert examples(again) == examples(training)
    assert examples((training[0][7:12], training[1][7:12])) == examples(training)[7:12]
    fingerprints = {pair[0].data.fingerprint() for pair in (training, again, plain)}
    assert len(fingerprints) == 2


def test_training_on_images_made_when_needed_is_training_on_those_that_lie_there(
    installed: DatasetSplits,
) -> None:
    training, _, test = network3.load_data_shared("mnist_expanded.pkl.gz")
    # Halves that were taken apart, one of each kind, and expanded data to validate with are data as well.
    arrays = training[0].get_value(), training[1].get_value()
    mixed = training[0][:], arrays[1]
    results = []
    for data in (training, arrays, mixed):
        net = Network([SoftmaxLayer(36, 3)], 3, backend=ReferenceBackend())
        with redirect_stdout(io.StringIO()):
            net.SGD(data, 2, 3, 0.5, training, test)
        results.append([param.eval().tobytes() for param in net.params])
    assert results[0] == results[1] == results[2]


def test_a_file_is_read_whatever_is_installed(
    tmp_path: Path, installed: DatasetSplits, make_digits: Make
) -> None:
    parts = [network3.shared(make_digits(size, seed=1)) for size in (5, 2, 2)]
    arrays = tuple((x.get_value(), y.get_value().astype(np.int64)) for x, y in parts)
    for name in ("mnist.pkl.gz", "mnist_expanded.pkl.gz", "own.pkl.gz"):
        with gzip.open(tmp_path / name, "wb") as stream:
            pickle.dump(arrays, stream, protocol=2)
        for (x, y), (inputs, labels) in zip(network3.load_data_shared(tmp_path / name), arrays, strict=True):
            np.testing.assert_array_equal(x.eval(), inputs)
            np.testing.assert_array_equal(y.eval(), labels)


def test_a_file_that_is_no_pickle_of_arrays_is_refused_and_nothing_stands_in(
    tmp_path: Path, installed: DatasetSplits
) -> None:
    path = tmp_path / "mnist.pkl.gz"
    path.write_bytes(pickle.dumps(print))
    with pytest.raises(FileFormatError, match=r"mnist\.pkl\.gz"):
        network3.load_data_shared(path)


def test_another_name_of_no_file_is_an_error_that_names_those_that_can_be_had(
    installed: DatasetSplits,
) -> None:
    with pytest.raises(FileAccessError, match=r"digits.pkl.gz: there is no such file; .* mnist.pkl.gz and"):
        network3.load_data_shared("../data/digits.pkl.gz")


def test_where_nothing_is_installed_the_error_names_the_file_and_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> DatasetSplits:
        raise ArgumentError("to install it: pip install isograd-mnist")

    monkeypatch.setattr("isograd.network3.data.load_dataset", missing)
    with pytest.raises(ArgumentError, match=r"data/mnist.pkl.gz: there is no such file.*pip install"):
        network3.load_data_shared()


def test_what_is_no_data_is_refused(make_digits: Make) -> None:
    with pytest.raises(ArgumentTypeError, match="data is a int; expected a pair"):
        network3.shared(3)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="data: inputs and labels: expected as many"):
        network3.shared((np.zeros((3, 2)), [0, 1]))
    with pytest.raises(ArgumentTypeError, match="data is a NoneType; expected a pair"):
        network3.size(None)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="data: x is 3; expected an array"):
        network3.size((3, 4))
    for data in (make_digits(2), expanded(make_digits(2))):
        with pytest.raises(ArgumentTypeError, match="indexed by a slice"):
            network3.shared(data)[0][0]  # type: ignore[index]


def test_what_is_printed_says_how_large_it_is(make_digits: Make) -> None:
    assert (
        repr(network3.shared(make_digits(2)))
        == "(<SharedInputs of 2 examples>, <SharedLabels of 2 examples>)"
    )
    assert repr(SoftmaxLayer(36, 3).w) == "<SharedVariable SoftmaxLayer: w [36, 3]>"
