"""The pytest plugin: which backends the suite runs on, and how thoroughly.

It acts on the suite's own tests alone. It is loaded in every run of pytest where the suite is installed, so
it imports nothing heavy until they are collected.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from isograd_conformance import options

if TYPE_CHECKING:
    from isograd_conformance.subject import Subject

SUITE = "isograd_conformance.suite"
HELP = "a backend for the conformance suite; may be repeated; 'all' is every usable one; short: --backend"
MARKERS = (
    "judges(what): the column of the report that a test fills; its row is the test's primitive or layer",
    "long: takes minutes; run by --conformance-long or the thorough profile",
    "xdist_group(name): stays in one process, where pytest-xdist runs several",
    "same_bits: holds where the backend declares deterministic",
    "unordered: a pair of backends is tested once, not in both orders",
)

pytest.register_assert_rewrite(
    "isograd_conformance.checks",
    "isograd_conformance.bounds.agreement",
    "isograd_conformance.formulas",
    "isograd_conformance.networks",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("isograd-conformance", "the conformance suite of isograd backends")
    _add_backend(parser, "--conformance-backend")
    group.addoption(
        "--conformance-profile",
        choices=("quick", "thorough"),
        default="quick",
        help="quick: the same few examples each time; thorough: many, others each time, and long tests",
    )
    group.addoption(
        "--conformance-scale",
        type=float,
        default=1.0,
        metavar="FACTOR",
        help="multiply the number of examples that each test draws",
    )
    group.addoption(
        "--conformance-no-shrink",
        action="store_true",
        help="report a failure as it was found: making it small compiles many more functions",
    )
    group.addoption(
        "--conformance-json", type=Path, metavar="FILE", help="write the report of the run as JSON"
    )
    group.addoption(
        "--conformance-html",
        type=Path,
        metavar="FILE",
        help="write the report of the run as one self-contained HTML page",
    )
    group.addoption(
        "--conformance-expected",
        type=Path,
        metavar="FILE",
        help="a TOML file with the tests that are known to fail, a reason and an example for each",
    )
    group.addoption(
        "--conformance-seed",
        type=int,
        metavar="NUMBER",
        help="draw other examples, the same ones for the same number",
    )
    group.addoption("--conformance-long", action="store_true", help="run also the tests that take minutes")


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> Iterator[None]:
    """Add --backend, short for --conformance-backend, to runs that use it and have no other of that name.

    The name is common, so it is not taken from every project whose environment has the suite. Where the
    command line names the suite it is added before conftest files are looked for: a backend may have the
    name of a package, which pytest would otherwise take for one to collect.
    """
    used = [argument for argument in args if argument.partition("=")[0] == "--backend"]
    early = bool(used) and any("isograd_conformance" in argument for argument in args)
    if early:
        _add_backend(parser, "--backend")
        early_config.known_args_namespace = parser.parse_known_args(args, copy(early_config.option))
    yield
    _, unknown = parser.parse_known_and_unknown_args(args, copy(early_config.option))
    if not early and set(used) & set(unknown):
        _add_backend(parser, "--backend")


def _add_backend(parser: pytest.Parser, name: str) -> None:
    group = parser.getgroup("isograd-conformance")
    group.addoption(name, action="append", dest="conformance_backends", metavar="NAME[:DEVICE]", help=HELP)


def pytest_configure(config: pytest.Config) -> None:
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    profile = config.getoption("conformance_profile")
    given = config.getoption("conformance_backends", None) or []
    options.enter(
        options.Options(
            _resolved(given),
            profile,
            config.getoption("conformance_scale"),
            config.getoption("conformance_long") or profile == "thorough",
            not config.getoption("conformance_no_shrink"),
            config.getoption("conformance_seed"),
        )
    )
    if given:
        _record(config)


def _record(config: pytest.Config) -> None:
    """Have the suite's tests recorded and reported."""
    from isograd.errors import IsogradError
    from isograd_conformance.report.recorder import Recorder

    try:
        recorder = Recorder(
            config.getoption("conformance_json"),
            config.getoption("conformance_html"),
            config.getoption("conformance_expected"),
        )
    except IsogradError as error:
        raise pytest.UsageError(f"--conformance-expected: {error}") from error
    config.pluginmanager.register(recorder, "isograd-conformance-recorder")


def pytest_unconfigure() -> None:
    options.leave()


def pytest_sessionstart() -> None:
    """Make every backend, now that conftest files may have registered some; an unknown one ends the run."""
    from isograd.errors import IsogradError

    for specification in options.active().backends:
        try:
            _subject(specification)
        except IsogradError as error:
            raise pytest.UsageError(f"--backend {specification}: {error}") from error


def _resolved(given: list[str]) -> tuple[str, ...]:
    if "all" not in given:
        return options.split(given, [])
    usable = options.usable()
    if not usable:
        raise pytest.UsageError("--backend all: no backend is installed that can be used here")
    return options.split(given, usable)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test of the suite that takes a `subject` once a backend, one that takes a `pair` once a pair."""
    if not _in_suite(metafunc.module):
        return
    backends = options.active().backends
    if not backends:
        raise pytest.UsageError("the conformance suite needs --backend NAME[:DEVICE], or --backend all")
    if "subject" in metafunc.fixturenames:
        metafunc.parametrize("subject", backends, indirect=True, scope="session")
    if "pair" in metafunc.fixturenames:
        pairs = [(a, b) for a in backends for b in backends if a != b]
        if {"unordered"} & {mark.name for mark in metafunc.definition.iter_markers()}:
            pairs = [(a, b) for a, b in pairs if backends.index(a) < backends.index(b)]
        few = pytest.mark.skip(
            reason="needs two or more backends: give --backend repeatedly, or --backend all"
        )
        params = [pytest.param(pair, id="-".join(pair)) for pair in pairs] or [
            pytest.param(None, marks=few, id="one backend")
        ]
        metafunc.parametrize("pair", params, indirect=True, scope="session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mine = [item for item in items if isinstance(item, pytest.Function) and _in_suite(item.module)]
    if options.active().seed is not None:
        _give_seed(mine, options.active().seed)
    if options.active().long:
        return
    skip = pytest.mark.skip(
        reason="takes minutes: give --conformance-long, or --conformance-profile thorough"
    )
    for item in mine:
        if item.get_closest_marker("long"):
            item.add_marker(skip)


def _give_seed(items: list[pytest.Function], seed: int | None) -> None:
    """Have tests draw their examples from a seed, which goes before the settings that they were made with."""
    import hypothesis

    for item in items:
        if hypothesis.is_hypothesis_test(item.obj):
            hypothesis.seed(seed)(item.obj)


def _in_suite(module: ModuleType) -> bool:
    return module.__name__.startswith(SUITE)


@pytest.fixture(scope="session")
def subject(request: pytest.FixtureRequest) -> Subject:
    """The backend under test, with one of its devices."""
    return _subject(request.param)


@pytest.fixture(scope="session")
def pair(request: pytest.FixtureRequest) -> tuple[Subject, Subject]:
    """Two different backends of those given."""
    first, second = request.param
    return _subject(first), _subject(second)


def _subject(specification: str) -> Subject:
    from isograd_conformance.subject import Subject

    return Subject.choose(specification)
