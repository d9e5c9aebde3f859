"""`isograd evaluate`, `predict` and `plot` take an ensemble's file too, and say what the ensemble says."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isograd.data import Dataset, load_dataset
from isograd.ensemble import Ensemble
from isograd.layers import Softmax
from isograd.network import Network
from isograd.testing import ReferenceBackend

Invoke = Callable[..., Any]
BACKEND = ReferenceBackend()
PATH = "voters/ensemble.safetensors"


@pytest.fixture
def ensemble(folder: Path) -> Ensemble:
    """Four networks at PATH, beside a run file that names the data; their two votes differ somewhere."""
    networks = [Network([Softmax(3)], (1, 4, 4), seed) for seed in range(4)]
    for one in networks:
        weight = one.parameters["0.weight"]
        # The first is sure of itself, whom the others outvote.
        size = 0.5 if one.seed else 20
        weight += np.random.default_rng(one.seed).normal(0, size, weight.shape).astype(np.float32)
    (folder / "voters").mkdir()
    text = (folder / "run.toml").read_text().replace("data.npz", "../data.npz")
    (folder / "voters" / "run.toml").write_text(text)
    made = Ensemble(networks)
    made.save(PATH)
    data = part("training")
    first, second = (made.predict(data, vote, backend=BACKEND) for vote in ("plurality", "mean"))
    assert not np.array_equal(first, second)
    return made


def part(name: str) -> Dataset:
    found: Dataset = getattr(load_dataset(Path("data.npz")), name)
    return found


@pytest.mark.parametrize("vote", [None, "plurality", "mean"])
@pytest.mark.parametrize("split", ["training", "test"])
def test_evaluate_gives_each_networks_accuracy_and_the_votes(
    vote: Any, split: str, ensemble: Ensemble, invoke: Invoke
) -> None:
    arguments = ["evaluate", PATH, "--split", split, *(["--vote", vote] if vote else [])]
    data, vote = part(split), vote or "plurality"
    wrong = [
        int(np.count_nonzero(one.predict(data, backend=BACKEND) != data.labels)) for one in ensemble.networks
    ]
    n, errors = len(data), len(ensemble.errors(data, vote, backend=BACKEND))
    assert json.loads(invoke(*arguments, "--json").stdout) == {
        "split": split,
        "examples": n,
        "shifts": 0,
        "vote": vote,
        "networks": [{"accuracy": (n - k) / n, "errors": k} for k in wrong],
        "accuracy": ensemble.accuracy(data, vote, backend=BACKEND),
        "errors": errors,
    }
    names = [*(f"network {index}" for index in range(4)), f"{vote} vote"]
    assert invoke(*arguments).stdout.splitlines() == [
        f"{name}: accuracy {100 * (n - k) / n:.2f} % ({k} errors in {n} examples)"
        for name, k in zip(names, [*wrong, errors], strict=True)
    ]


def test_the_folder_of_an_ensemble_stands_for_its_file(ensemble: Ensemble, invoke: Invoke) -> None:
    for name, *options in (["evaluate"], ["predict", "--index", "0"]):
        assert invoke(name, "voters", *options).stdout == invoke(name, PATH, *options).stdout
    # A run that is trained in the same folder goes first.
    invoke("train", "run.toml", "--out", "voters")
    assert "cost" in invoke("evaluate", "voters").stdout


def test_evaluate_refuses_labels_beyond_the_classes(ensemble: Ensemble, invoke: Invoke, folder: Path) -> None:
    np.savez(folder / "more.npz", x=np.zeros((2, 1, 4, 4), np.uint8), y=np.array([0, 3]))
    stderr = invoke("evaluate", PATH, "--data", "more.npz", "--split", "training", code=1).stderr
    assert "data has labels from 0 to 3; the network has 3 classes" in stderr


@pytest.mark.parametrize("vote", ["plurality", "mean"])
def test_predict_gives_decision_votes_and_mean_probabilities(
    vote: Any, ensemble: Ensemble, invoke: Invoke
) -> None:
    data = part("training")
    decisions = [ensemble.predict(data, v, backend=BACKEND) for v in ("plurality", "mean")]  # type: ignore[arg-type]
    for index in (0, int(np.flatnonzero(decisions[0] != decisions[1])[0])):
        arguments = ["predict", PATH, "--index", str(index), "--split", "training", "--vote", vote]
        example = data[index : index + 1]
        ballot = ensemble.ballot(example, backend=BACKEND)
        found = json.loads(invoke(*arguments, "--json").stdout)
        assert found == {
            "class": str(ballot.decision(vote)[0]),
            "label": str(data.labels[index]),
            "probabilities": {str(i): float(p) for i, p in enumerate(ballot.probabilities[0])},
            "votes": {str(i): int(k) for i, k in enumerate(ballot.counts()[0])},
        }
        first, _, header, *rows = invoke(*arguments).stdout.splitlines()
        assert first == f"{found['class']} (label {found['label']})"
        assert header.split() == ["class", "votes", "probability"]
        assert [row.split()[:2] for row in rows] == [[name, str(k)] for name, k in found["votes"].items()]


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="needs matplotlib")
def test_plot_draws_what_an_ensemble_takes_for_what_and_nothing_that_is_of_one_network(
    ensemble: Ensemble, invoke: Invoke, folder: Path
) -> None:
    for kind in ("errors", "confusion"):
        assert invoke("plot", kind, PATH, "--vote", "mean").stdout == f"{kind}.png\n"
        assert (folder / f"{kind}.png").read_bytes().startswith(b"\x89PNG")
    for kind in ("filters", "curves"):
        stderr = invoke("plot", kind, "voters", code=1).stderr
        assert f"{PATH} holds an ensemble; {kind} takes one network" in stderr
        assert not (folder / f"{kind}.png").exists()


def test_options_of_one_kind_are_refused_for_the_other(ensemble: Ensemble, invoke: Invoke) -> None:
    ensemble.networks[0].save("alone.safetensors")
    for name, *options in (["evaluate"], ["predict", "--index", "0"]):
        stderr = invoke(name, PATH, *options, "--best", code=1).stderr
        assert f"--best is for the checkpoint of a run; {PATH} holds an ensemble" in stderr
        stderr = invoke(name, "alone.safetensors", *options, "--vote", "mean", code=1).stderr
        assert "--vote is mean; alone.safetensors holds one network" in stderr
    assert "isograd.Ensemble.load reads it" in invoke("summary", PATH, code=1).stderr
