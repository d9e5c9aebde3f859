"""A layer and a cost of a package of one's own: in files, on every backend that is installed, exported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from typer.testing import CliRunner

from isograd import FullyConnected, Network, Softmax, plugins
from isograd import graph as G
from isograd.cli.app import app
from isograd.errors import ArgumentError
from isograd.graph.reference import evaluate
from isograd.layers import from_toml, to_toml
from isograd_maxout.huber import Huber
from isograd_maxout.maxout import Maxout

BACKENDS = list(plugins.backend_descriptors())
RUN = """
[network]
input_shape = [3]
init = "n_in"
cost = { type = "Huber", delta = 0.5 }
layers = [
    { type = "Maxout", n_out = 4, pieces = 3 },
    { type = "FullyConnected", n_out = 1, activation = "linear" },
]
[training]
epochs = 8
mini_batch_size = 5
eta = 0.1
[data]
path = "data.npz"
"""
values = hnp.arrays(np.float64, (2, 3), elements=st.integers(-24, 24).map(lambda n: n / 8))


@given(values, values, st.sampled_from([0.5, 1.0, 2.0]))
def test_hubers_loss_is_its_two_cases(
    outputs: np.ndarray[tuple[int, int]], targets: np.ndarray[tuple[int, int]], delta: float
) -> None:
    a, y = (G.variable(name, (2, 3), "float64") for name in ("a", "y"))
    (found,) = evaluate([Huber(delta).build(a, y)], {"a": outputs, "y": targets})
    d = abs(outputs - targets)
    # Multiples of 1/128 below 2^6: every sum and product is exact.
    assert (found == np.where(d <= delta, d * d / 2, delta * (d - delta / 2)).sum(axis=1)).all()


def test_a_maxout_unit_is_the_largest_of_its_pieces() -> None:
    network = Network([Maxout(2, pieces=2)], (3,), dtype="float64", cost=Huber())
    z = np.arange(3.0) @ network.parameters["0.weight"] + network.parameters["0.bias"]
    x = network.architecture.variables() | {"x": G.variable("x", (1, 3), "float64")}
    outputs, _ = network.forward(x["x"], x, {}, "evaluate", {})
    (found,) = evaluate(outputs, {"x": np.arange(3.0)[None], **network.parameters})
    # NumPy may sum the three products in another order: 4 roundings of terms that are no larger.
    bound = 4 * 2.0**-52 * (np.arange(3.0) @ abs(network.parameters["0.weight"]) + abs(z)).max()
    assert abs(found - z.reshape(2, 2).max(axis=1)).max() <= bound


def test_they_go_into_files_and_come_back(tmp_path: Path) -> None:
    layers = (Maxout(4, pieces=3, name="hidden"), Softmax(2))
    assert from_toml(to_toml(layers)) == layers
    network = Network([Maxout(4), FullyConnected(1, "linear")], (3,), cost=Huber(0.5))
    network.save(tmp_path / "maxout.safetensors")
    assert repr(Network.load(tmp_path / "maxout.safetensors")) == repr(network)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_run_file_names_them_on_every_backend(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x = rng.random((40, 3), np.float32)
    np.savez("data.npz", x_train=x, y_train=abs(x - 0.5).sum(axis=1, keepdims=True))
    Path("run.toml").write_text(RUN)
    result = CliRunner().invoke(app, ["train", "run.toml", "--backend", backend, "--json"])
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    costs = [line["cost"] for line in lines if line["event"] == "epoch"]
    assert len(costs) == 8
    assert costs[-1] < costs[0] / 2


def test_the_plugin_itself_imports_nothing_heavy() -> None:
    code = "import sys, isograd_maxout.plugin; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_network_of_them_is_exported() -> None:
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    network = Network([Maxout(4, pieces=3), FullyConnected(1, "linear")], (3,), init="n_in", cost=Huber())
    model = pytest.importorskip("isograd.onnx").network_model(network)
    onnx.checker.check_model(model, full_check=True)
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).random((6, 3), np.float32)
    (found,) = session.run(["values"], {"input": x})
    wanted = network.predict(x, backend=BACKENDS[0])
    # Two dense layers, of 3 and 4 terms and a bias: gamma_10 of what they would be without signs, on each
    # side (Higham, "Accuracy and Stability of Numerical Algorithms", section 3.1).
    magnitudes = {path: abs(array) for path, array in network.parameters.items()}
    hidden = (x @ magnitudes["0.weight"] + magnitudes["0.bias"]).reshape(6, 4, 3).max(axis=2)
    bound = 2 * 10 * 2.0**-24 * (hidden @ magnitudes["1.weight"] + magnitudes["1.bias"]) * 1.01
    assert (abs(found - wanted) <= bound).all()


@pytest.mark.parametrize("wrong", [{"n_out": 0}, {"n_out": 2, "pieces": 0}, {"n_out": 1.5}])
def test_what_is_no_maxout_layer_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ArgumentError, match=r"^Maxout: (n_out|pieces) is "):
        Maxout(**wrong)


def test_a_delta_is_above_zero() -> None:
    with pytest.raises(ArgumentError, match=r"^Huber: delta is 0"):
        Huber(0)
