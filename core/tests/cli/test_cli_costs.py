"""The command line and a run whose cost is of values, or that a plugin offers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isograd import Quadratic
from isograd.network import Network

Invoke = Callable[..., Any]

RUN = """
[network]
input_shape = [3]
cost = {cost}
layers = [{{ type = "FullyConnected", n_out = 2, activation = "linear" }}]

[training]
epochs = 3
mini_batch_size = 4
eta = 0.1

[data]
path = "values.npz"
"""


@pytest.fixture
def run(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    inputs = rng.random((12, 3))
    values = inputs @ rng.random((3, 2))
    parts = {"train": slice(0, 6), "validation": slice(6, 9), "test": slice(9, 12)}
    arrays = {f"x_{name}": inputs[part] for name, part in parts.items()}
    np.savez(folder / "values.npz", **arrays, **{f"y_{name}": values[part] for name, part in parts.items()})
    (folder / "values.toml").write_text(RUN.format(cost='{ type = "Quadratic" }'))
    return folder / "runs" / "values"


def test_a_run_of_values_trains_evaluates_and_predicts(run: Path, invoke: Invoke, folder: Path) -> None:
    shown = invoke("train", "values.toml").stdout
    assert "best validation cost: " in shown
    assert "test cost in epoch " in shown
    assert "accuracy" not in shown
    network = Network.load(run / "checkpoint.safetensors")
    assert network.architecture.cost == Quadratic()
    with np.load(folder / "values.npz") as file:
        test = file["x_test"], file["y_test"]
    (line,) = invoke("evaluate", str(run), "--json").stdout.splitlines()
    assert json.loads(line) == {"split": "test", "examples": 3, "cost": network.cost(test)}
    (line,) = invoke("predict", str(run), "--index", "1", "--json").stdout.splitlines()
    assert json.loads(line) == {"predicted": network.predict(test[0])[1].tolist(), "label": None}
    assert "cost Quadratic()" in invoke("summary", str(run)).stdout
    assert "classes" in invoke("plot", "errors", str(run), code=1).stderr


def test_a_run_of_values_resumes_as_its_file_says(run: Path, invoke: Invoke, folder: Path) -> None:
    invoke("train", "values.toml", "--epochs", "1")
    text = (run / "run.toml").read_text()
    assert 'cost = "' not in text
    invoke("train", str(run), "--resume", "--epochs", "2")
    (run / "run.toml").write_text(text.replace('"Quadratic"', '"CrossEntropy"'))
    error = invoke("train", str(run), "--resume", "--epochs", "3", code=1).stderr
    assert "network.cost is CrossEntropy(); the run to resume has Quadratic()" in error


def test_a_cost_that_is_none_is_named_with_its_key(folder: Path, invoke: Invoke, run: Path) -> None:
    (folder / "values.toml").write_text(RUN.format(cost='"Hinge"'))
    error = invoke("train", "values.toml", code=1).stderr
    assert "network.cost has type 'Hinge'; expected one of CrossEntropy, LogLikelihood, Quadratic" in error


def test_an_ensemble_of_values_is_refused_before_it_trains(run: Path, invoke: Invoke, folder: Path) -> None:
    error = invoke("ensemble", "values.toml", "--members", "2", code=1).stderr
    assert "the cost Quadratic() gives no probabilities of classes, which an ensemble needs" in error
    assert not (folder / "runs").exists()
