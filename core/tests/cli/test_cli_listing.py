"""The listings, and commands that plugins add: one bad plugin disables nothing but itself."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from importlib import metadata
from typing import Annotated, Any

import pytest
import typer

from isograd import plugins, runs
from isograd.cli.app import COMMANDS
from isograd.errors import ArgumentError
from isograd.plugins import BackendDescriptor, CommandDescriptor, DatasetDescriptor
from isograd.plugins.known import known

Invoke = Callable[..., Any]


def rows(result: Any) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in map(json.loads, result.stdout.splitlines())}


def never() -> Any:
    raise AssertionError("a listing loads nothing")


def test_backends_are_listed_from_their_descriptors(invoke: Invoke) -> None:
    with plugins.registered(BackendDescriptor("heavy", "A backend", never, dtypes=("float32", "int32"))):
        found = rows(invoke("backends", "--json"))
        text = invoke("backends").stdout
    assert found["heavy"]["status"] == "ready"
    assert found["heavy"]["dtypes"] == ["float32", "int32"]
    assert "heavy" in text
    assert "float32, int32" in text
    assert "devices" not in found["heavy"]


def test_the_versions_of_what_a_backend_uses_are_read_without_importing_it(invoke: Invoke) -> None:
    needs = ("numpy", "json")
    descriptor = BackendDescriptor("user", "A backend", never, dtypes=("float32",), requires=needs)
    with plugins.registered(descriptor):
        found = rows(invoke("backends", "--json"))["user"]
    assert found["uses"] == [f"numpy {metadata.version('numpy')}", "json"]


def test_a_backend_that_can_not_be_used_says_what_it_needs(invoke: Invoke) -> None:
    descriptor = BackendDescriptor(
        "needy", "A backend", never, dtypes=("float32",), requires=("no_such",), distribution="acme"
    )
    with plugins.registered(descriptor):
        assert rows(invoke("backends", "--json"))["needy"]["status"] == "needs no_such: pip install acme"


def test_known_backends_and_data_sets_that_are_not_installed_come_with_their_pip_command(
    invoke: Invoke,
) -> None:
    found = rows(invoke("backends", "--json"))
    for name, entry in known("backends").items():
        assert name in found
        if name not in plugins.backend_descriptors():
            assert found[name]["status"] == f"not installed: {entry.install}"
    assert known("datasets").keys() <= rows(invoke("data", "--json")).keys()


def test_devices_are_listed_on_demand_and_one_failure_hides_no_other(invoke: Invoke) -> None:
    def fail() -> Any:
        raise ImportError("no framework")

    with plugins.registered(BackendDescriptor("broken", "A backend", fail, dtypes=("float32",))):
        found = rows(invoke("backends", "--devices", "--json"))
    assert found["reference"]["devices"] == ["cpu"]
    assert "no framework" in found["broken"]["status"]


def test_plugins_are_listed_with_what_became_of_them(invoke: Invoke) -> None:
    found = [json.loads(line) for line in invoke("plugins", "--json").stdout.splitlines()]
    expected = [
        {key: getattr(report, key) for key in ("name", "version", "distribution", "group", "status", "cause")}
        for report in plugins.plugin_reports()
    ]
    assert found == expected
    assert "reference" in invoke("plugins").stdout


def test_data_sets_are_listed_without_reading_them(invoke: Invoke) -> None:
    with plugins.registered(DatasetDescriptor("shapes", "Circles and squares", never, "CC0-1.0", 12345)):
        found = rows(invoke("data", "--json"))["shapes"]
        text = invoke("data").stdout
    assert found == {
        "name": "shapes",
        "examples": 12345,
        "licence": "CC0-1.0",
        "status": "ready",
        "summary": "Circles and squares",
    }
    assert "12,345" in text


def test_presets_are_listed_with_their_summaries(invoke: Invoke) -> None:
    found = rows(invoke("presets", "--json"))
    assert tuple(found) == runs.presets()
    assert all(row["summary"] == runs.read_preset(name).summary for name, row in found.items())


def test_a_listing_in_a_pipe_is_not_cut_to_a_terminals_width(invoke: Invoke) -> None:
    summary = "many words " * 40
    with plugins.registered(DatasetDescriptor("wordy", summary, never, "CC0-1.0", 1)):
        assert summary in invoke("data", env={"COLUMNS": "40"}).stdout


def test_each_commands_help_begins_with_its_line_in_the_list(invoke: Invoke) -> None:
    listing = " ".join(invoke("--help", env={"COLUMNS": "200"}).stdout.split())
    for name, (_, summary) in COMMANDS.items():
        assert summary in listing
        assert summary in " ".join(invoke(name, "--help", env={"COLUMNS": "200"}).stdout.split())


def test_help_documents_the_exit_codes_and_the_environment(invoke: Invoke) -> None:
    text = " ".join(invoke("--help").stdout.split())
    for phrase in ("0 success", "1 an error", "2 wrong usage", "3 training met", "130 interrupted"):
        assert phrase in text
    assert "ISOGRAD_BACKEND, ISOGRAD_SEED" in text


def test_a_wrong_command_is_answered_with_the_likely_one(invoke: Invoke) -> None:
    assert "Did you mean 'train'?" in " ".join(invoke("trian", code=2).stderr.split())


def greet(name: str, times: Annotated[int, typer.Option(help="How often.")] = 1) -> None:
    """Greet somebody."""
    if name == "nobody":
        raise ArgumentError("name is 'nobody'\n  expected: somebody,\n  anybody")
    print(f"hello {name} " * times)


def test_a_plugins_command_is_listed_without_loading_it_and_runs_with_its_options(invoke: Invoke) -> None:
    loads: list[str] = []

    def load() -> Callable[..., None]:
        loads.append("greet")
        return greet

    with plugins.registered(CommandDescriptor("greet", "Say hello.", load)):
        assert "Say hello." in invoke("--help").stdout
        assert loads == []
        assert invoke("greet", "you", "--times", "2").stdout == "hello you hello you \n"
        assert "How often." in invoke("greet", "--help").stdout
        assert (
            invoke("greet", "nobody", code=1).stderr
            == "error: name is 'nobody'; expected: somebody, anybody\n"
        )
    assert "greet" not in invoke("--help").stdout


@pytest.mark.parametrize("error", [ImportError("no framework"), SystemExit(0)])
def test_a_plugins_command_that_can_not_be_loaded_is_an_error_of_its_own(
    error: BaseException, invoke: Invoke
) -> None:
    def fail() -> Any:
        raise error

    with plugins.registered(CommandDescriptor("broken", "Never works.", fail)):
        assert "Never works." in invoke("--help").stdout
        assert "the command 'broken' can not be loaded" in invoke("broken", code=1).stderr
        invoke("presets")


def test_a_plugins_command_does_not_replace_isograds_own(
    invoke: Invoke, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        plugins.registered(CommandDescriptor("train", "Catch trains.", never)),
        caplog.at_level(logging.WARNING, "isograd.cli"),
    ):
        text = invoke("--help").stdout
        assert "Catch trains." not in text
        assert "a plugin's command 'train' is left out" in caplog.text
        invoke("train", "run.toml")
