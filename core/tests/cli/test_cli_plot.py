"""`isograd plot` writes a figure of a run, or says what is wrong and writes none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isograd.network import Network

pytest.importorskip("matplotlib")

Invoke = Callable[..., Any]
CONVOLUTION = '[{ type = "ConvPool", maps = 2, window = 3 }, { type = "Softmax", n_out = 3 }]'


@pytest.fixture
def run(invoke: Invoke, folder: Path) -> str:
    """The folder of a run of one epoch of a network with a convolution."""
    text = (folder / "run.toml").read_text()
    line = next(line for line in text.splitlines() if line.startswith("layers"))
    (folder / "run.toml").write_text(text.replace(line, f"layers = {CONVOLUTION}"))
    invoke("train", "run.toml", "--epochs", "1", "--diagnostics", "20")
    return "runs/tiny"


@pytest.mark.parametrize("kind", ["filters", "errors", "curves", "confusion", "gradients", "overfitting"])
def test_every_kind_is_written_where_it_was_asked_for(
    kind: str, run: str, invoke: Invoke, folder: Path
) -> None:
    assert invoke("plot", kind, run).stdout == f"{kind}.png\n"
    assert (folder / f"{kind}.png").read_bytes().startswith(b"\x89PNG")
    answer = invoke("plot", kind, run, "--out", "other.svg", "--json").stdout
    assert json.loads(answer) == {"kind": kind, "file": "other.svg"}
    assert b"<svg" in (folder / "other.svg").read_bytes()


def test_gradients_take_several_runs_each_in_a_panel(run: str, invoke: Invoke, folder: Path) -> None:
    invoke("train", "run.toml", "--epochs", "1", "--diagnostics", "20", "--out", "second")
    for options, drawn, left_out in (((), "bias", "weight"), (("--array", "weight"), "weight", "bias")):
        text = _svg(invoke, folder, "gradients", run, "second", *options)
        for written in ("tiny", "second", f"0.{drawn}", f"1.{drawn}"):
            assert f"<!-- {written} -->" in text
        assert f"0.{left_out}" not in text


def test_curves_take_several_runs_each_by_the_name_of_its_folder(
    run: str, invoke: Invoke, folder: Path
) -> None:
    invoke("train", "run.toml", "--epochs", "1", "--out", "second")
    text = _svg(invoke, folder, "curves", run, "second")
    assert "<!-- tiny -->" in text
    assert "<!-- second -->" in text


def _svg(invoke: Invoke, folder: Path, *arguments: str) -> str:
    invoke("plot", *arguments, "--out", "figure.svg")
    return (folder / "figure.svg").read_text()


def test_what_can_not_be_drawn_is_one_line_and_no_file(run: str, invoke: Invoke, folder: Path) -> None:
    (folder / "elsewhere").mkdir()
    Network.load(f"{run}/checkpoint.safetensors").save("elsewhere/alone.safetensors")
    invoke("train", "run.toml", "--epochs", "1", "--out", "plain")
    before = set(folder.iterdir())
    cases = {
        ("filters", run, "--layer", "1"): "--layer is '1'; layers with filters are 0",
        ("curves", "elsewhere/alone.safetensors"): "without a run",
        ("curves", run, run, run): "is given twice",
        ("gradients", run, "plain"): "histories['plain'] has no epoch with a measured gradient_norm/*.bias",
        ("overfitting", "plain"): "no epoch with both training_cost and validation_cost",
        ("errors", "elsewhere/alone.safetensors"): "pass --data",
    }
    for arguments, message in cases.items():
        assert message in invoke("plot", *arguments, code=1).stderr
    for kind in ("filters", "overfitting"):
        refusal = " ".join(invoke("plot", kind, run, run, code=2).stderr.replace("│", " ").split())
        assert "only curves and gradients take more" in refusal
    assert set(folder.iterdir()) == before
