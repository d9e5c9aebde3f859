"""`isograd export` writes the network of a checkpoint, an ONNX file that has its answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from isograd import Dataset, FullyConnected, Network, Softmax
from isograd.cli.app import app
from isograd.testing import ReferenceBackend


@pytest.fixture
def trained(library: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Network:
    """A network after two epochs, as the checkpoint of the run in the folder "run"."""
    library("onnx")
    monkeypatch.chdir(tmp_path)
    Path("run").mkdir()
    generator = np.random.default_rng(0)
    data = Dataset(generator.integers(0, 256, (20, 4)).astype(np.uint8), np.arange(20) % 3, scale=1 / 256)
    net = Network([FullyConnected(5), Softmax(3, weight_init="n_in")], (4,), 1)
    checkpoint = Path("run", "checkpoint.safetensors")
    net.SGD(data, 2, 5, 0.5, data, backend=ReferenceBackend(), checkpoint=checkpoint, progress=False)
    return net


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["export", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_runs_folder_becomes_a_file_that_answers_as_the_network(
    trained: Network, run_onnx: Callable[..., Any]
) -> None:
    assert invoke("run", "--onnx", "net.onnx") == "net.onnx\n"
    x = np.random.default_rng(1).uniform(size=(7, 4)).astype(np.float32)
    found = run_onnx("net.onnx")({"input": x})
    assert found["class"].tolist() == trained.predict(x, backend=ReferenceBackend()).tolist()


def test_bytes_are_scaled_as_every_command_scales_them(
    trained: Network, run_onnx: Callable[..., Any]
) -> None:
    arguments = ("run", "--onnx", "net.onnx", "--best", "--input-dtype", "uint8", "--classes", "a,b,c")
    answer = json.loads(invoke(*arguments, "--json"))
    assert answer == {"file": "net.onnx", "input_shape": [4], "input_dtype": "uint8", "scale": 1 / 256}
    first = Path("net.onnx").read_bytes()
    invoke(*arguments, "--scale", "1/256")
    assert Path("net.onnx").read_bytes() == first
    x = np.random.default_rng(1).integers(0, 256, (7, 4)).astype(np.uint8)
    best = Network.load("run/checkpoint.safetensors", best=True)
    expected = best.predict(Dataset(x, np.zeros(7, int), scale=1 / 256), backend=ReferenceBackend())
    assert run_onnx("net.onnx")({"input": x})["class"].tolist() == expected.tolist()
