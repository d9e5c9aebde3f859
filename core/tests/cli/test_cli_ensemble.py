"""`isograd ensemble`: networks of one run with seeds of their own, trained once, and what they decide."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isograd.cli import ensemble as command
from isograd.cli import jobs
from isograd.cli.folders import CHECKPOINT, ENSEMBLE, HISTORY
from isograd.cli.jobs import Job, Outcome
from isograd.data import load_dataset
from isograd.ensemble import Ensemble
from isograd.network import Network
from isograd.runs import read_run
from isograd.testing import ReferenceBackend
from isograd.training import History

Invoke = Callable[..., Any]
BACKEND = ReferenceBackend()


@pytest.fixture(autouse=True)
def processes(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "PROGRAM", (sys.executable, "-c", program))


def test_an_ensemble_is_trained_saved_judged_and_enlarged(invoke: Invoke, folder: Path) -> None:
    arguments = ["ensemble", "run.toml", "--members", "2", "--seed", "7", "--epochs", "3", "--json"]
    *events, end = map(json.loads, invoke(*arguments).stdout.splitlines())
    out = Path("runs/tiny-ensemble")
    for index in (0, 1):
        own = [event["event"] for event in events if event["network"] == f"member-{index}"]
        assert own == ["start", "epoch", "epoch", "epoch", "end"]
    saved = read_run(out / "run.toml")
    assert (saved.seed, saved.training.epochs, saved.backend) == (7, 3, "reference:cpu")
    networks = Ensemble.load(out / ENSEMBLE).networks
    assert [one.seed for one in networks] == [7, 8]
    for index, one in enumerate(networks):
        best = Network.load(out / f"member-{index}" / CHECKPOINT, best=True)
        for path, array in best.parameters.items():
            np.testing.assert_array_equal(one.parameters[path], array)
    check_report(end, out)
    before = {path: path.stat().st_mtime_ns for path in out.glob("member-*/*")}
    check_text(invoke("ensemble", str(out), "--resume").stdout, end)
    assert {path: path.stat().st_mtime_ns for path in out.glob("member-*/*")} == before
    *events, end = map(
        json.loads, invoke("ensemble", "run.toml", "--resume", "--members", "3", "--json").stdout.splitlines()
    )
    assert {event["network"] for event in events} == {"member-2"}
    assert [one["seed"] for one in end["networks"]] == [7, 8, 9]
    check_report(end, out)
    assert "plurality vote: accuracy" in invoke("evaluate", str(out)).stdout


def check_report(end: dict[str, Any], out: Path) -> None:
    """Every figure is that of the runs' histories and of the ensemble on the data."""
    ensemble, splits = Ensemble.load(out / ENSEMBLE), load_dataset(Path("data.npz"))
    assert (end["event"], end["file"], end["split"]) == ("ensemble", str(out / ENSEMBLE), "test")
    for index, row in enumerate(end["networks"]):
        history = History.from_json((out / f"member-{index}" / HISTORY).read_text())
        assert (row["network"], row["epoch"]) == (f"member-{index}", history.best_epoch)
        assert row["validation"]["accuracy"] == history.best_validation_accuracy
        assert row["test"]["accuracy"] == history.test_accuracy
    for name in ("validation", "test"):
        data = getattr(splits, name)
        for vote in ("plurality", "mean"):
            errors = ensemble.errors(data, vote, backend=BACKEND)  # type: ignore[arg-type]
            expected = {"accuracy": (len(data) - len(errors)) / len(data), "errors": len(errors)}
            assert end["votes"][vote][name] == expected
    test = splits.test
    assert test is not None
    given = ensemble.predict(test, end["vote"], backend=BACKEND)
    assert end["wrong"] == [
        {"index": int(index), "label": str(test.labels[index]), "class": str(given[index])}
        for index in ensemble.errors(test, end["vote"], backend=BACKEND)
    ]


def check_text(text: str, end: dict[str, Any]) -> None:
    lines = text.splitlines()
    header = next(index for index, line in enumerate(lines) if line.startswith("network "))
    columns = "network seed epoch validation validation errors test test errors"
    assert " ".join(lines[header].split()) == columns
    for line, row in zip(lines[header + 1 :], end["networks"], strict=False):
        first, second = (
            f"{100 * row[name]['accuracy']:.2f} % {row[name]['errors']}" for name in ("validation", "test")
        )
        shown = f"{row['network']} {row['seed']} {row['epoch']} {first} {second}"
        assert line.split() == shown.split()
    assert [line.split()[0] for line in lines if " vote " in line and "%" in line] == ["plurality", "mean"]
    for wrong in end["wrong"]:
        assert f"{wrong['index']}: {wrong['label']} -> {wrong['class']}" in lines
    assert lines[-1] == f"ensemble: {end['file']}"


def test_networks_join_as_they_are_in_the_epoch_that_their_run_tests(
    invoke: Invoke, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with np.load(folder / "data.npz") as data:
        content = dict(data)
    # With wrong labels, what is learned makes the accuracy worse.
    content["y_validation"] = (content["y_validation"] + 1) % 3
    np.savez(folder / "data.npz", **content)
    text = (
        (folder / "run.toml")
        .read_text()
        .replace("eta = 0.5", "eta = 1.0")
        .replace("epochs = 2", "epochs = 5")
    )

    def in_this_process(jobs: list[Job], workers: int, told: Any) -> list[Outcome]:
        for job in jobs:
            invoke(*job.command())
        return [Outcome(job, job.history()) for job in jobs]

    monkeypatch.setattr(command, "train_all", in_this_process)
    for tested in ("best", "last"):
        (folder / "run.toml").write_text(text.replace("epochs", f'tested = "{tested}"\nepochs'))
        result = invoke("ensemble", "run.toml", "--members", "1", "--out", tested, "--json")
        row = json.loads(result.stdout.splitlines()[-1])["networks"][0]
        history = History.from_json(Path(tested, "member-0", HISTORY).read_text())
        assert history.best_epoch != 4
        assert row["epoch"] == (history.best_epoch if tested == "best" else 4) == history.test_epoch
        assert row["test"]["accuracy"] == history.test_accuracy


def test_without_validation_and_test_data_the_last_parameters_are_joined(
    invoke: Invoke, folder: Path
) -> None:
    with np.load(folder / "data.npz") as data:
        np.savez(folder / "alone.npz", x=data["x_train"], y=data["y_train"])
    arguments = ["run.toml", "--members", "1", "--epochs", "1", "--data", "alone.npz", "--out", "here"]
    assert invoke("ensemble", *arguments).stdout.endswith("\nensemble: here/ensemble.safetensors\n")
    (one,) = Ensemble.load("here/ensemble.safetensors").networks
    for path, array in Network.load(f"here/member-0/{CHECKPOINT}").parameters.items():
        np.testing.assert_array_equal(one.parameters[path], array)
    assert "holds a run already" in invoke("ensemble", *arguments, code=1).stderr
    assert "holds a run already" in invoke("train", "run.toml", "--out", "here", code=1).stderr
    stderr = invoke("ensemble", "here", "--resume", "--seed", "5", code=1).stderr
    assert "here/member-0 holds the run 'tiny' with other settings" in stderr
    assert read_run(Path("here/run.toml")).seed == 0


def test_an_interrupt_says_how_to_go_on_with_as_many_networks(
    invoke: Invoke, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[Job]] = []

    def interrupted(jobs: list[Job], workers: int, told: Any) -> list[Outcome]:
        asked.append(jobs)
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "train_all", interrupted)
    for arguments in (["run.toml", "--members", "3", "--seed", "2"], ["run.toml", "--resume"]):
        stderr = invoke("ensemble", *arguments, code=130).stderr
        assert stderr == "interrupted; `isograd ensemble runs/tiny-ensemble --resume` goes on\n"
    assert asked[0] == asked[1]
    assert [(job.run.seed, job.folder.name) for job in asked[0]] == [
        (2, "member-0"),
        (3, "member-1"),
        (4, "member-2"),
    ]


def test_networks_that_could_not_be_trained_are_named_and_nothing_is_joined(
    invoke: Invoke, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(jobs: list[Job], workers: int, told: Any) -> list[Outcome]:
        assert workers == 4
        return [Outcome(jobs[0], History()), Outcome(jobs[1], error="exit code 1: no memory")]

    monkeypatch.setattr(command, "train_all", fails)
    stderr = invoke("ensemble", "run.toml", "--members", "2", "--jobs", "4", code=1).stderr
    assert "error: 1 of 2 networks could not be trained" in stderr
    assert stderr.endswith("member-1: exit code 1: no memory\n")
    assert not Path("runs/tiny-ensemble", ENSEMBLE).exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run.toml", "--resume"], "there is no member-0 in runs/tiny-ensemble"),
        (["run.toml", "--data", "nothing.npz"], "nothing.npz"),
        (["run.toml", "--seed", str(2**64 - 1)], "seed is 18446744073709551619; expected less than"),
        (["run.toml", "--backend", "unheard-of"], "unheard-of"),
        (["unheard-of"], "neither a file nor a preset"),
    ],
)
def test_what_can_not_be_done_leaves_no_folder(
    arguments: list[str], message: str, invoke: Invoke, folder: Path
) -> None:
    assert message in invoke("ensemble", *arguments, code=1).stderr
    assert not (folder / "runs" / "tiny-ensemble").exists()
