"""`isograd reproduce`: trained once, resumed, reported in three forms; what fails is told."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isograd.cli import jobs
from isograd.cli import reproduce as command
from isograd.data import load_dataset
from isograd.ensemble import Ensemble
from isograd.figures.style import figure_png
from isograd.reproduction import Experiment, experiments, pictures
from isograd.runs import read_run

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

Invoke = Callable[..., Any]
OUT = Path("runs", "reproduce-tiny")
REPORTS = ("report.html", "report.json", "report.md")

CONVOLUTIONAL = (
    {"type": "ConvPool", "maps": 2, "window": 3, "poolsize": 2, "activation": "relu"},
    {"type": "Softmax", "n_out": 3},
)
WATCHED = {"network.layers": CONVOLUTIONAL, "training.diagnostics": 20}
TINY = (
    Experiment("one", "tiny", "a hidden layer", 100.0, group="all"),
    Experiment("vote", "tiny", "two vote", 0.0, members=2, trained_as="one", group="all"),
    Experiment("conv", "tiny", "a convolution", changes=WATCHED, figure="mean", group="all"),
    Experiment("bad", "tiny", "too large a batch", 50.0, changes={"training.mini_batch_size": 1000}),
    Experiment("long", "tiny", "40 epochs", changes={"training.epochs": 40}),
)


def undrawn(figure: Any) -> bytes:
    """As much of a PNG file as a page needs to know; drawing takes a third of a second."""
    return b"\x89PNG\r\n\x1a\n" + bytes(16)


@pytest.fixture(autouse=True)
def collection(folder: Path, program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The collection "tiny", whose preset is run.toml, processes that train it, and no drawing."""
    monkeypatch.setattr(experiments, "COLLECTIONS", {"tiny": TINY})
    monkeypatch.setattr(experiments, "read_preset", lambda name: read_run(folder / "run.toml"))
    monkeypatch.setattr(jobs, "PROGRAM", (sys.executable, "-c", program))
    monkeypatch.setattr(pictures, "figure_png", undrawn)


def events_of(result: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def reported(out: Path = OUT) -> dict[str, dict[str, Any]]:
    """The results of report.json by experiment."""
    data = json.loads((out / "report.json").read_text(encoding="utf-8"))
    return {result["experiment"]["name"]: result for result in data["results"]}


def contents() -> dict[Path, tuple[int, bytes]]:
    return {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in OUT.rglob("*") if p.is_file()}


def test_experiments_are_trained_once_and_reported_in_three_forms(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("reproduce", "tiny", "all", "--runs", "2")
    with monkeypatch.context() as patch:
        patch.setattr(pictures, "figure_png", figure_png)
        events = events_of(invoke(*asked, "--json"))
    folders = [str(OUT / name / f"seed-{seed}") for name in ("one", "conv") for seed in (0, 1)]
    for name in folders:
        own = [event["event"] for event in events if event.get("folder") == name]
        assert own == ["start", "epoch", "epoch", "end"]
    *results, last = [event for event in events if "folder" not in event]
    assert last == {"event": "report", "file": str(OUT / "report.html")}
    assert [result["experiment"] for result in results] == ["one", "vote", "conv"]
    found = reported()
    for result in results:
        whole = found[result["experiment"]]
        for name in ("accuracy", "difference", "verdict", "mean", "extent"):
            assert result[name] == whole[name]
        assert (result["runs"], result["wanted"]) == (2, 2)
        assert [run["seed"] for run in whole["runs"]] == [0, 1]
        assert {run["backend"] for run in whole["runs"]} == {whole["runs"][0]["backend"]}
    check_figures(found)
    check_page((OUT / "report.html").read_text(encoding="utf-8"))
    assert "| one | a hidden layer | " in (OUT / "report.md").read_text(encoding="utf-8")

    before = contents()
    monkeypatch.setattr(jobs, "PROGRAM", (sys.executable, "-c", "raise SystemExit('trained again')"))
    text = invoke(*asked).stdout
    assert "epoch" not in text.partition("experiment")[0]
    assert text.endswith(f"report: {OUT / 'report.html'}\n")
    assert [line.split()[0] for line in text.splitlines()[2:5]] == ["one", "vote", "conv"]
    again = contents()
    pages = {OUT / name for name in REPORTS}
    assert {p: again[p] for p in again if p not in pages} == {p: before[p] for p in before if p not in pages}
    assert reported() == found

    for changed in (("--epochs-scale", "2"), ("--diagnostics", "5")):
        for more in ((), ("--report-only",)):
            stderr = invoke(*asked, *changed, *more, code=1).stderr
            assert f"{OUT / 'one' / 'seed-0'} holds the run 'tiny' with other settings" in stderr
    assert contents() == again


def test_networks_vote_as_the_experiment_says_on_the_shifts_that_it_says(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = Experiment("moved", "tiny", "two vote", members=2, vote="mean", shifts=1)
    monkeypatch.setattr(experiments, "COLLECTIONS", {"tiny": (moved,)})
    invoke("reproduce", "tiny", "moved")
    run = moved.run(0)
    ensemble = Ensemble(
        [run.trained_network(OUT / "moved" / f"seed-{seed}" / "checkpoint.safetensors") for seed in (0, 1)]
    )
    splits = load_dataset(run.data.source)
    result = reported()["moved"]
    votes, differing = result["votes"], 0
    for split, data in (("validation", splits.validation), ("test", splits.test)):
        assert data is not None
        expected, unmoved = (
            {vote: ensemble.accuracy(data, vote, shifts=shifts) for vote in votes[split]} for shifts in (1, 0)
        )
        assert votes[split] == expected
        differing += expected != unmoved
    assert differing
    assert result["accuracy"] == votes["test"]["mean"]
    assert len(result["mistakes"]) == round(14 * (1 - votes["test"]["mean"]))
    assert "2 networks with shifts=1: " in (OUT / "report.md").read_text(encoding="utf-8")


def check_figures(found: dict[str, dict[str, Any]]) -> None:
    """What is compared is the best run's, the vote's and the mean."""
    one, vote, conv = found["one"], found["vote"], found["conv"]
    best = max(one["runs"], key=lambda run: run["validation_accuracy"])
    assert (one["chosen"], one["accuracy"]) == (best["seed"], best["test_accuracy"])
    assert one["difference"] == round(100 * one["accuracy"] - 100, 2)
    assert len(one["mistakes"]) == round(14 * (1 - one["accuracy"]))
    assert vote["runs"] == one["runs"]
    assert vote["accuracy"] == vote["votes"]["test"]["plurality"]
    assert len(vote["mistakes"]) == round(14 * (1 - vote["accuracy"]))
    assert conv["accuracy"] == sum(run["test_accuracy"] for run in conv["runs"]) / 2
    assert conv["difference"] is None
    assert "gradient_norm/0.bias" in conv["runs"][0]["history"]["epochs"][0]["measured"]


def check_page(page: str) -> None:
    captions = (
        "Validation accuracy by epoch, of the chosen runs.",
        "Test accuracy of the chosen runs.",
        "Training against validation, of the chosen run.",
        "Norms of the weights&#39; gradients by layer, of the chosen run.",
        "Test images that are classified wrongly (all ",
        "The 2 filters of layer 0: the darker, the larger.",
    )
    for caption in captions:
        assert f"<figcaption>{caption}" in page, caption
    assert page.count("data:image/png;base64,iVBORw0KGgo") == page.count("<img ")


def test_what_is_interrupted_is_reported_and_goes_on(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = command.print_json

    def interrupt(**event: Any) -> None:
        shown(**event)
        if event.get("epoch") == 1:
            os.kill(os.getpid(), signal.SIGINT)

    asked = ("reproduce", "tiny", "long", "--runs", "2", "--json")
    with monkeypatch.context() as patch:
        patch.setattr(command, "print_json", interrupt)
        result = invoke(*asked, code=130)
    assert "interrupted; the same command goes on" in result.stderr
    assert len(reported()["long"]["runs"]) < 2
    assert events_of(result)[-1]["event"] == "report"
    events = events_of(invoke(*asked))
    assert len([event for event in events if event["event"] == "epoch"]) <= 78
    assert [len(run["history"]["epochs"]) for run in reported()["long"]["runs"]] == [40, 40]


def test_a_run_that_fails_is_in_the_report_and_the_others_are_trained(invoke: Invoke) -> None:
    asked = ("reproduce", "tiny", "bad", "one", "--runs", "1", "--epochs-scale", "0.5")
    result = invoke(*asked, "--json", code=1)
    error = "exit code 1: mini_batch_size is 1000; training_data has only 42 examples"
    folder = OUT / "bad" / "seed-0"
    assert {"folder": str(folder), "event": "failed", "error": error} in events_of(result)
    assert result.stderr == (
        f"error: 1 of 2 runs failed, which the same command tries again: {folder}: {error}\n"
    )
    found = reported()
    assert (found["bad"]["failed"], found["bad"]["runs"]) == ({"0": error}, [])
    assert (len(found["one"]["runs"]), found["one"]["extent"]) == (1, "scaled to 1 epoch")
    assert all(error in (OUT / name).read_text(encoding="utf-8") for name in REPORTS)


def test_a_list_says_what_there_is_and_does_nothing(invoke: Invoke) -> None:
    listed = events_of(invoke("reproduce", "tiny", "vote", "conv", "--list", "--json"))
    assert listed[0] == {
        "name": "vote",
        "group": "all",
        "summary": "two vote",
        "preset": "tiny",
        "epochs": 2,
        "networks": 2,
        "reported": 0.0,
    }
    assert [entry["name"] for entry in listed] == ["vote", "conv"]
    assert "a hidden layer" in invoke("reproduce", "tiny", "--list").stdout
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tiny", "--report-only"], f"--report-only: none of these runs is finished in {OUT}"),
        (["other"], "COLLECTION is 'other'; expected one of tiny"),
        (["tiny", "ones"], "NAME is 'ones'; did you mean one? tiny has one, all, vote, conv, bad, long"),
        (["tiny", "--epochs-scale", "0"], "epochs_scale is 0.0; expected a number above 0 and at most 1000"),
        (["tiny", "--backend", "nobody"], "nobody"),
    ],
)
def test_what_can_not_be_done_is_told_before_anything_is(
    arguments: list[str], message: str, invoke: Invoke
) -> None:
    assert message in invoke("reproduce", *arguments, code=1).stderr
    assert not Path("runs").exists()


def test_a_missing_library_is_told_before_hours_of_training(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    stderr = invoke("reproduce", "tiny", code=1).stderr
    assert 'the report needs Jinja, not installed: pip install "isograd[report]"' in stderr
    assert not Path("runs").exists()
