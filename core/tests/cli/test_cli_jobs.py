"""Runs in processes of their own: trained once, resumed after an interrupt, and none hinders another."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isograd.cli import jobs
from isograd.cli.folders import CHECKPOINT
from isograd.cli.jobs import Job, train_all
from isograd.errors import ArgumentError
from isograd.network import Network
from isograd.runs import find_run


@pytest.fixture(autouse=True)
def processes(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "PROGRAM", (sys.executable, "-c", program))


def job(name: str, **values: Any) -> Job:
    return Job(find_run("run.toml").override(values), Path("jobs", name))


def unheard(job: Job, event: Mapping[str, Any]) -> None:
    raise AssertionError(f"{job.folder} was started")


def test_runs_train_side_by_side_and_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What the environment says is for whoever types a command, not for a job, which is described in full.
    monkeypatch.setenv("ISOGRAD_SEED", "99")
    asked = [job(str(seed), seed=seed) for seed in (3, 4, 5)]
    heard: list[tuple[str, str]] = []
    outcomes = train_all(asked, 2, lambda job, event: heard.append((job.folder.name, event["event"])))
    assert [outcome.job for outcome in outcomes] == asked
    for outcome, seed in zip(outcomes, (3, 4, 5), strict=True):
        assert outcome.error == ""
        assert outcome.history is not None
        assert outcome.history.stopped == "completed"
        assert Network.load(outcome.job.folder / CHECKPOINT).seed == seed
        assert [event for name, event in heard if name == str(seed)] == ["start", "epoch", "epoch", "end"]
    assert train_all(asked, 2, unheard) == outcomes


def test_interrupted_runs_go_on_and_end_as_if_they_had_not_been(folder: Path) -> None:
    asked = [job(str(seed), seed=seed, **{"training.epochs": 40}) for seed in (0, 1)]

    def interrupt(job: Job, event: Mapping[str, Any]) -> None:
        if event.get("epoch") == 1:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train_all(asked, 1, interrupt)
    assert (asked[0].folder / CHECKPOINT).exists()
    assert not asked[1].folder.exists()
    events: list[str] = []
    outcomes = train_all(asked, 1, lambda job, event: events.append(event["event"]))
    assert all(outcome.history is not None for outcome in outcomes)
    assert events.count("epoch") <= 78
    (whole,) = train_all([Job(asked[0].run, Path("jobs", "whole"))], 1, lambda job, event: None)
    resumed, uninterrupted = (
        Network.load(job.folder / CHECKPOINT).parameters for job in (asked[0], whole.job)
    )
    for path, array in uninterrupted.items():
        np.testing.assert_array_equal(resumed[path], array)


def test_a_run_that_fails_says_why_and_leaves_the_others_alone(folder: Path) -> None:
    wrong = job("wrong", **{"training.mini_batch_size": 1000})
    diverging = job("diverging", **{"training.eta": 1e38, "network.init": "n_in"})
    outcomes = train_all([wrong, diverging, job("right")], 1, lambda job, event: None)
    assert outcomes[0].error == "exit code 1: mini_batch_size is 1000; training_data has only 42 examples"
    assert outcomes[1].error.startswith("the cost was not finite in epoch 0, step ")
    assert [outcome.history is None for outcome in outcomes] == [True, True, False]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 7}, "seed is 0 there, 7 here"),
        ({"training.eta": {"type": "Never", "eta": 1}}, "training.eta is 0.5 there, .'type': 'Never'"),
        ({"backend": "other"}, "backend is 'reference:cpu' there, 'other' here"),
    ],
)
def test_a_folder_with_another_run_is_refused_before_anything_starts(
    change: dict[str, Any], said: str, folder: Path
) -> None:
    train_all([job("here")], 1, lambda job, event: None)
    with pytest.raises(ArgumentError, match=f"jobs/here holds the run 'tiny' with other settings: {said}"):
        train_all([job("new"), job("here", **change)], 1, unheard)
    assert not Path("jobs", "new").exists()
