"""The command line as a process: what it imports, how an interrupt ends it, and both ways to start it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from isograd import __version__
from isograd.network import Network

Start = Callable[..., "subprocess.Popen[str]"]

# Tells at the end what of this was imported. Every framework brings NumPy with it.
WATCHED = """
import atexit, sys
heavy = {"numpy", "scipy", "matplotlib", "PIL"}
atexit.register(lambda: print(*heavy & sys.modules.keys(), sep=",", file=sys.stderr))
from isograd.cli import main
main()
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["train", "--help"],
        ["predict", "--help"],
        ["ensemble", "--help"],
        ["backends"],
        ["plugins"],
        ["data"],
        ["presets"],
        ["new-backend", "mine"],
        ["nonsense"],
    ],
)
def test_help_and_listings_import_nothing_heavy(arguments: list[str], start: Start) -> None:
    process = start(*arguments, code=WATCHED)
    _, stderr = process.communicate(timeout=60)
    assert stderr.splitlines()[-1] == ""


def test_python_m_isograd_is_the_command_line() -> None:
    command = [sys.executable, "-m", "isograd", "--version"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout == f"isograd {__version__}\n"


def test_an_interrupt_leaves_a_checkpoint_that_loads_and_resumes(start: Start, folder: Path) -> None:
    process = start("train", "run.toml", "--epochs", "100000", "--json")
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line).get("epoch") == 1:
            break
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr == (
        "interrupted; runs/tiny/checkpoint.safetensors can be loaded, and "
        "`isograd train runs/tiny --resume` goes on from it\n"
    )
    end = json.loads(stdout.splitlines()[-1])
    assert (end["event"], end["stopped"]) == ("end", "interrupted")
    training = Network.load(folder / "runs" / "tiny" / "checkpoint.safetensors").training
    assert training is not None
    done = len(training.history.epochs)
    assert done >= 2
    resumed = start("train", "runs/tiny", "--resume", "--epochs", str(done + 1), "--json")
    stdout, stderr = resumed.communicate(timeout=60)
    assert resumed.returncode == 0, stderr
    assert [json.loads(line).get("epoch") for line in stdout.splitlines()] == [None, done, None]


def test_an_interrupt_before_training_is_exit_code_130_and_one_line(start: Start, folder: Path) -> None:
    waits = """
import sys, time
from isograd import plugins
from isograd.plugins import CommandDescriptor
def command() -> None:
    print("ready", flush=True)
    time.sleep(60)
plugins.register(CommandDescriptor("wait", "Wait.", lambda: command))
from isograd.cli import main
main()
"""
    process = start("wait", code=waits)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (130, "interrupted\n")


def test_a_closed_pipe_ends_training_without_a_traceback(start: Start, folder: Path) -> None:
    process = start("train", "run.toml", "--epochs", "100000", "--json")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=60) == 1
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()


def test_two_runs_that_start_together_get_a_folder_each(start: Start, folder: Path) -> None:
    processes = [start("train", "run.toml", "--seed", str(seed), "--json") for seed in (1, 2, 3)]
    ends = []
    for process in processes:
        stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == 0, stderr
        ends.append(json.loads(stdout.splitlines()[-1])["checkpoint"])
    assert len(set(ends)) == 3
    assert sorted(Network.load(end).seed for end in ends) == [1, 2, 3]


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_progress_bar_on_a_terminal_keeps_out_of_stdout(
    options: list[str], start: Start, folder: Path
) -> None:
    pty = pytest.importorskip("pty")
    terminal, stderr = pty.openpty()
    process = start("train", "run.toml", *options, stderr=stderr)
    os.close(stderr)
    shown = b""
    # Once the process has ended, Linux answers with an error where others end the file.
    with contextlib.suppress(OSError):
        while piece := os.read(terminal, 4096):
            shown += piece
    os.close(terminal)
    stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert b"epoch 0 of 2" in shown
    assert b"epoch 1 of 2" in shown
    assert "\x1b" not in stdout
    if options:
        assert [json.loads(line)["event"] for line in stdout.splitlines()] == [
            "start",
            "epoch",
            "epoch",
            "end",
        ]
    else:
        assert [line.split(":")[0] for line in stdout.splitlines() if line.startswith("epoch")] == [
            "epoch 0",
            "epoch 1",
        ]
