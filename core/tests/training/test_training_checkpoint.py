"""Files of networks and runs: what is read is what was written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isograd import plugins
from isograd.errors import ArgumentError, FileAccessError, FileFormatError
from isograd.graph import Tensor
from isograd.layers import BatchNorm, Constant, FullyConnected, Layer, Softmax, functions
from isograd.network import Network
from isograd.testing import ReferenceBackend

Make = Callable[..., Any]


@pytest.fixture(scope="module", autouse=True)
def centred_is_registered(centred: type[Layer]) -> Iterator[None]:
    class Offer:
        @plugins.hookimpl
        def isograd_layers(self) -> list[type]:
            return [centred]

    plugins.register(Offer(), name="training-tests")
    yield
    plugins.unregister("training-tests")


@given(
    units=st.integers(1, 4),
    p_dropout=st.sampled_from([0.0, 0.5]),
    seed=st.integers(0, 2**64 - 1),
    dtype=st.sampled_from(["float32", "float64"]),
    init=st.sampled_from(["chapter", "n_in", "he", "zeros", Constant(0.25)]),
    name=st.sampled_from([None, "hidden"]),
)
def test_a_saved_network_is_loaded_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory,
    centred: type[Layer],
    same_network: Make,
    units: int,
    p_dropout: float,
    seed: int,
    dtype: str,
    init: Any,
    name: str | None,
) -> None:
    layers = [FullyConnected(units, "tanh", p_dropout, name=name), centred(), Softmax(2)]
    network = Network(layers, (1, 3), seed, init=init, dtype=dtype)
    path = tmp_path_factory.mktemp("files") / "network.safetensors"
    network.save(path)
    loaded = Network.load(str(path))
    assert same_network(loaded, network)
    assert loaded.training is None
    assert list(loaded.parameters) == list(network.parameters)


def test_layer_state_is_trained_saved_and_used(
    backend: ReferenceBackend, make_data: Make, centred: type[Layer], same_network: Make, tmp_path: Path
) -> None:
    data = make_data(8)
    network = Network([centred(), Softmax(3)], (4,), dtype="float64")
    network.SGD(data, 1, 4, 0.5, shuffle=False, checkpoint=tmp_path / "run", backend=backend)
    expected = np.full(4, 0.5)
    for rows in (data.inputs[:4], data.inputs[4:]):
        expected = expected * 0.75 + rows.mean(axis=0) * 0.25
    # Numbers of at most 1 in about ten roundings.
    assert np.all(np.abs(network.state["0.mean"] - expected) <= 10 * 2.0**-53)
    loaded = Network.load(tmp_path / "run")
    assert same_network(loaded, network)
    z = (data.inputs - network.state["0.mean"]) @ network.parameters["1.weight"] + network.parameters[
        "1.bias"
    ]
    assert loaded.predict(data, backend=backend).tolist() == z.argmax(axis=1).tolist()


@given(momentum=st.floats(2.0**-10, 1), epsilon=st.floats(1e-9, 1), seed=st.integers(0, 99))
@settings(max_examples=10)
def test_batch_normalisation_is_loaded_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory,
    backend: ReferenceBackend,
    make_data: Make,
    same_network: Make,
    momentum: float,
    epsilon: float,
    seed: int,
) -> None:
    layers = [BatchNorm(momentum=momentum, epsilon=epsilon, name="norm"), Softmax(3)]
    network = Network(layers, (4,), seed, init="he", dtype="float64")
    assert network.parameters["norm.weight"].tolist() == [1.0] * 4
    assert network.parameters["norm.bias"].tolist() == [0.0] * 4
    path = tmp_path_factory.mktemp("run") / "run"
    network.SGD(make_data(7), 1, 3, 0.5, checkpoint=path, backend=backend)
    assert same_network(Network.load(path), network)


@given(rows=st.integers(2, 9), mini_batch_size=st.integers(2, 5), seed=st.integers(0, 99))
@settings(max_examples=15)
def test_running_statistics_are_those_of_the_rows_of_each_batch_the_partial_last_one_too(
    backend: ReferenceBackend, make_data: Make, rows: int, mini_batch_size: int, seed: int
) -> None:
    mini_batch_size = min(rows, mini_batch_size)
    data = make_data(rows, seed)
    network = Network([BatchNorm(momentum=0.25), Softmax(3)], (4,), dtype="float64")
    network.SGD(data, 1, mini_batch_size, 0.5, shuffle=False, backend=backend)
    mean, variance = np.zeros(4), np.ones(4)
    for first in range(0, rows, mini_batch_size):
        batch = data.inputs[first : first + mini_batch_size]
        mean = 0.75 * mean + 0.25 * batch.mean(axis=0)
        if len(batch) > 1:
            variance = 0.75 * variance + 0.25 * batch.var(axis=0, ddof=1)
    # Inputs are in [-1, 1). A mean of n rows errs by n + 1 roundings of at most 1, n <= 5; a centred input,
    # below 2, by that mean's error and a rounding; a square by 4 times as much; a variance, at most
    # 4 n / (n - 1), has n + 3 roundings of at most 8 more: below 100 in all, of both ways 200. The running
    # mean takes 0.25 of it, three roundings of at most 8, and 0.75 of the error before: no larger.
    assert np.all(np.abs(network.state["0.running_mean"] - mean) <= 40 * 2.0**-53)
    assert np.all(np.abs(network.state["0.running_variance"] - variance) <= 300 * 2.0**-53)


# The file as other programs see it.


def test_the_file_is_one_that_any_reader_of_safetensors_understands(run_file: Path, open_file: Make) -> None:
    document, arrays = open_file(run_file)
    assert document["format"] == 1
    assert document["network"]["layers"]["layers"][0]["type"] == "FullyConnected"
    assert (document["training"]["epoch"], document["training"]["step"]) == (1, 2)
    paths = ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert set(arrays) == {prefix + path for prefix in ("", "velocity/", "best/") for path in paths}
    assert all(array.dtype == np.float32 for array in arrays.values())


def test_no_other_file_is_left_in_the_folder(run_file: Path) -> None:
    assert [path.name for path in run_file.parent.iterdir()] == ["run.safetensors"]


# Writing.


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, make_network: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "network"
    make_network().save(path)
    before = path.read_bytes()

    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, full)
            with pytest.raises(FileAccessError, match="No space left"):
                make_network(seed=1).save(path)
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]


def test_a_symbolic_link_stays_one(tmp_path: Path, make_network: Make, same_network: Make) -> None:
    (tmp_path / "folder").mkdir()
    try:
        (tmp_path / "link").symlink_to(tmp_path / "folder" / "network")
    except OSError:
        pytest.skip("this account may not make symbolic links")
    make_network().save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert same_network(Network.load(tmp_path / "folder" / "network"), make_network())


@pytest.mark.parametrize(
    "options", [{"activation": lambda z: z}, {"weight_init": lambda seed, path, spec: 0}]
)
def test_a_function_without_a_name_is_refused_before_training(
    backend: ReferenceBackend, make_data: Make, tmp_path: Path, options: Any
) -> None:
    if "weight_init" in options:
        options = {"weight_init": lambda seed, path, spec: np.zeros(spec.shape)}
    network = Network([FullyConnected(3, **options), Softmax(3)], (4,))
    with pytest.raises(ArgumentError, match=r"layers\[0\]: .*register"):
        network.SGD(make_data(), 1, 5, 0.1, checkpoint=tmp_path / "run", backend=backend)
    with pytest.raises(ArgumentError, match=r"layers\[0\]: .*register"):
        network.save(tmp_path / "network")
    assert not list(tmp_path.iterdir())
    assert network.training is None
    assert not network.parameters["1.weight"].any()


def test_a_function_with_a_name_is_saved_under_it(tmp_path: Path) -> None:
    def double(z: Tensor) -> Tensor:
        return z * 2

    network = Network([FullyConnected(3, double), Softmax(3)], (4,))
    functions.register("activation", "test-double", double)
    try:
        network.save(tmp_path / "network")
        (hidden, _) = Network.load(tmp_path / "network").layers
        assert isinstance(hidden, FullyConnected)
        assert functions.lookup("activation", hidden.activation) is double
    finally:
        functions.unregister("activation", "test-double")
    with pytest.raises(FileFormatError, match="test-double"):
        Network.load(tmp_path / "network")


# Into a network that exists.


def test_parameters_are_loaded_into_a_network_with_the_same_arrays(
    backend: ReferenceBackend, make_data: Make, make_network: Make, tmp_path: Path
) -> None:
    make_network(seed=1).save(tmp_path / "network")
    other = Network([FullyConnected(3, "relu", 0.5), Softmax(3)], (4,), dtype="float64")
    other.SGD(make_data(), 1, 5, 0.1, backend=backend)
    other.load_parameters(tmp_path / "network")
    for path, array in make_network(seed=1).parameters.items():
        assert other.parameters[path].tobytes() == array.tobytes()
    assert other.training is None


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            Network([FullyConnected(5), Softmax(3)], (4,), dtype="float64"),
            r"0.weight is float64 \[4, 3\]; in this network it is float64 \[4, 5\]",
        ),
        (
            Network([FullyConnected(3), Softmax(3)], (4,)),
            r"0.weight is float64 \[4, 3\]; in this network it is float32 \[4, 3\]",
        ),
        (
            Network([FullyConnected(3), Softmax(3, name="out")], (4,), dtype="float64"),
            "out.weight is missing; in this network it is",
        ),
        (
            Network([FullyConnected(3), Softmax(3, bias=False)], (4,), dtype="float64"),
            r"1.bias is float64 \[3\]; in this network it is missing",
        ),
    ],
)
def test_the_first_difference_is_named_and_nothing_has_changed(
    make_network: Make, tmp_path: Path, network: Network, message: str
) -> None:
    make_network().save(tmp_path / "network")
    before = {path: array.tobytes() for path, array in network.parameters.items()}
    with pytest.raises(ArgumentError, match=message):
        network.load_parameters(tmp_path / "network")
    assert {path: array.tobytes() for path, array in network.parameters.items()} == before
