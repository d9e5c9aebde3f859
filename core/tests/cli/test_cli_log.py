"""What the command line shows of the library's log: warnings, more when asked, all of it on stderr."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

import pytest

from isograd import plugins
from isograd.cli.log import more_shown, warnings_shown
from isograd.plugins import CommandDescriptor

Invoke = Callable[..., Any]


@pytest.mark.parametrize("flag", ["-v", "--verbose", "-vv"])
def test_verbose_logs_to_stderr_and_leaves_stdout_alone(invoke: Invoke, flag: str) -> None:
    quiet = invoke("summary", "run.toml")
    loud = invoke(flag, "train", "run.toml", "--json")
    assert quiet.stderr == ""
    assert all(line.startswith("{") for line in loud.stdout.splitlines())
    assert " INFO isograd.training.run: epoch 1: cost " in loud.stderr
    assert (" DEBUG isograd.training.run: epoch 0: steps 0 to " in loud.stderr) == (flag == "-vv")


def test_warnings_are_shown_as_what_they_say_already_in_the_list_of_commands(invoke: Invoke) -> None:
    with plugins.registered(CommandDescriptor("train", "another one", lambda: print)):
        shown = invoke("--help").stderr.splitlines()
    assert set(shown) == {"a plugin's command 'train' is left out: isograd has one of that name"}


def test_the_library_is_afterwards_as_quiet_as_before(invoke: Invoke) -> None:
    logger = logging.getLogger("isograd")
    before = list(logger.handlers), logger.level
    invoke("-vv", "summary", "run.toml")
    invoke("-v", "summary", "nothing.toml", code=1)
    assert (logger.handlers, logger.level) == before


def test_on_a_terminal_rich_shows_the_log(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with warnings_shown(), more_shown(1):
        logging.getLogger("isograd.training.run").info("[red] epoch")
        logging.getLogger("isograd.training.run").debug("a chunk")
    shown = capsys.readouterr().err
    words = re.sub(r"\x1b\[[\d;]*m", "", shown).split()
    assert words[-4:] == ["INFO", "isograd.training.run:", "[red]", "epoch"]
    assert "a chunk" not in shown
