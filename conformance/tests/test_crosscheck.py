"""The cross-check of a network: agreement, where it parts, and its refusals."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import isograd_conformance
from isograd import ConvPool, Dataset, FullyConnected, Network, Softmax, plugins
from isograd.backend import Backend
from isograd.cli.app import app
from isograd.errors import ArgumentError, ArgumentTypeError
from isograd.graph.reference import REFERENCE
from isograd.testing import ReferenceBackend
from isograd_conformance.bounds.tally import VACUOUS
from isograd_conformance.crosscheck import CrossCheck, check
from isograd_conformance.strategies.networks import every_kind_of_layer, layer_lists, toy_digits

Array = npt.NDArray[Any]
Make = Callable[..., Backend]


@pytest.fixture(autouse=True)
def backends(table_backend: Make) -> Iterator[None]:
    """Registered for a test: a right one, one with a doubled tanh, one with a wrong filter gradient."""
    doubled = table_backend(tanh=lambda x: 2 * np.tanh(x))
    doubled.name = "doubled"
    flipped = table_backend(
        conv2d_dw=lambda x, g, **a: np.flip(REFERENCE["conv2d_dw"](x, g, **a), (-2, -1)).copy()
    )
    flipped.name = "flipped"
    names = [plugins.register_backend(b.name, b) for b in (ReferenceBackend(), doubled, flipped)]
    yield
    for name in names:
        plugins.unregister(name)


def network(dtype: str = "float32") -> Network:
    layers = [
        ConvPool(3, window=3, activation="relu"),
        FullyConnected(5, "tanh"),
        Softmax(4, weight_init="n_in"),
    ]
    return Network(layers, (1, 12, 12), seed=1, dtype=dtype)


def test_a_right_backend_agrees_with_the_definition_of_every_kind_of_layer() -> None:
    net = Network(every_kind_of_layer(), (1, 12, 12), seed=3)
    arguments: dict[str, Any] = {"lmbda": 0.5, "momentum": 0.5, "nesterov": True, "averaging": 0.9}
    result = check(net, toy_digits(), backends="reference", **arguments)
    assert result.agrees
    # In a notebook it is its page, in a frame.
    assert result._repr_html_().startswith(f'<iframe title="{result.sentence}" sandbox ')
    assert "&lt;!doctype html&gt;" in result._repr_html_()
    assert {cell.layer for cell in result.cells} == {*range(len(net.layers)), len(net.layers)}
    assert {cell.kind for cell in result.cells} == {"output", "cost", "gradient", "update", "whole"}
    assert "AGREE" in result.sentence


@given(drawn=layer_lists(), seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 3))
def test_no_verdict_on_a_random_network_is_vacuous(drawn: Any, seed: int, rows: int) -> None:
    layers, shape = drawn
    images = np.random.default_rng(seed).integers(0, 256, (6, *shape)).astype(np.uint8)
    data = Dataset(images, np.arange(6) % 2, scale=1 / 256)
    net = Network(layers, shape, seed, init="n_in")
    result = check(net, data, backends=["reference"], mini_batch_size=rows, steps=2)
    assert result.agrees
    assert result.vacuous <= VACUOUS


def test_the_arrays_of_the_network_stay_what_they_are() -> None:
    net = network()
    before = {path: array.tobytes() for path, array in net.parameters.items()}
    check(net, toy_digits(), backends="reference", steps=1)
    assert {path: array.tobytes() for path, array in net.parameters.items()} == before
    assert net.training is None


def test_a_wrong_activation_is_found_at_its_layer_and_node() -> None:
    result = check(network(), toy_digits(), backends=["reference", "doubled"], steps=1)
    assert not result.agrees
    (parting,) = result.partings
    assert (parting.backend, parting.layer, parting.phase) == ("doubled:cpu", 1, "prediction")
    assert "first parts from the reference at tanh" in parting.diagnosis
    assert "exactly 2 times" in parting.diagnosis
    assert "1 (FullyConnected)" in result.sentence
    right = [cell for cell in result.cells if cell.backend == "reference:cpu"]
    assert all(cell.agrees for cell in right)


def test_a_wrong_gradient_is_found_at_its_layer_though_every_output_agrees() -> None:
    result = check(network(), toy_digits(), backends=["flipped"], steps=1)
    (parting,) = result.partings
    assert (parting.layer, parting.phase) == (0, "training")
    assert parting.array == "gradient of 0.weight"
    assert "conv2d_dw" in parting.diagnosis
    wrong = {(cell.layer, cell.kind) for cell in result.cells if not cell.agrees}
    assert wrong == {(0, "gradient"), (0, "update"), (len(network().layers), "whole")}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"backends": "nobody"}, ArgumentError, "nobody"),
        ({"backends": []}, ArgumentError, "backends is empty"),
        ({"mini_batch_size": 24}, ArgumentError, "mini_batch_size is 24; data has only 23"),
        ({"steps": 0}, ArgumentError, "steps is 0"),
        ({"nesterov": True}, ArgumentError, "nesterov is True"),
        ({"lmbda": -1.0}, ArgumentError, "lmbda"),
    ],
)
def test_a_bad_argument_is_refused_by_name(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        check(network(), toy_digits(), **{"backends": "reference", **arguments})
    with pytest.raises(ArgumentTypeError, match="network is a str"):
        check("digits", toy_digits(), backends="reference")  # type: ignore[arg-type]


def test_the_package_offers_the_check_without_importing_it_first() -> None:
    assert isograd_conformance.check is check
    assert isograd_conformance.CrossCheck is CrossCheck


RUN = """
[network]
input_shape = [1, 12, 12]
init = "n_in"
layers = [{ type = "FullyConnected", n_out = 5, activation = "tanh" }, { type = "Softmax", n_out = 4 }]

[training]
epochs = 1
mini_batch_size = 5
eta = 0.1

[data]
path = "data.npz"
"""


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    data = toy_digits()
    np.savez(tmp_path / "data.npz", x_train=data.inputs / 256, y_train=data.labels)
    (tmp_path / "run.toml").write_text(RUN)
    return tmp_path / "run.toml"


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["check", *arguments])


def test_the_command_ends_with_0_1_or_2(run_file: Path) -> None:
    for backends, code, text in (
        ("reference", 0, "AGREE: reference:cpu"),
        ("reference,doubled", 1, "DISAGREE: doubled:cpu first parts"),
        ("nobody", 2, "error: "),
    ):
        result = invoke(str(run_file), "--backends", backends)
        assert result.exit_code == code, result.output
        assert text in result.output + result.stderr


def test_json_and_page_say_the_same_as_the_table(run_file: Path, tmp_path: Path) -> None:
    page = tmp_path / "verdict.html"
    result = invoke(str(run_file), "--backends", "doubled", "--steps", "1", "--json", "--html", str(page))
    data = json.loads(result.stdout)
    assert data["agrees"] is False
    assert data["partings"][0]["backend"] == "doubled:cpu"
    text = page.read_text()
    assert data["verdict"] in text
    assert not [word for word in ("<script", "http://", "https://", "src=") if word in text]


def test_a_checkpoint_is_checked_with_its_own_parameters(run_file: Path, tmp_path: Path) -> None:
    net = Network([FullyConnected(5, "tanh"), Softmax(4)], (1, 12, 12))
    net.SGD(toy_digits(), 1, 5, 0.1, backend="reference", checkpoint=tmp_path / "checkpoint.safetensors")
    result = invoke(str(tmp_path / "checkpoint.safetensors"), "--backends", "reference", "--dtype", "float64")
    assert result.exit_code == 0, result.output
    assert "float64: 3 steps of 5 examples" in result.output
