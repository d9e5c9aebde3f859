"""The pytest plugin: its options, and that it leaves every other run of pytest alone."""

from __future__ import annotations

import subprocess
import sys

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd_conformance import options
from isograd_conformance.options import Options, split
from isograd_conformance.profiles import FACTORS, examples

NAMES = st.sampled_from(["a", "b:cpu", "b:gpu:0", "all"])
SUITE = ("--pyargs", "isograd_conformance.suite.test_transfers")


@given(st.lists(NAMES), st.lists(st.sampled_from(["a", "b", "c"]), unique=True))
def test_every_backend_is_taken_once_in_the_order_given(given_names: list[str], usable: list[str]) -> None:
    found = split(given_names, usable)
    assert len(set(found)) == len(found)
    assert set(found) == set(given_names) - {"all"} | (set(usable) if "all" in given_names else set())
    named = [name for name in given_names if name != "all"]
    if "all" not in given_names:
        assert list(found) == list(dict.fromkeys(named))


@given(st.integers(1, 100), st.sampled_from(sorted(FACTORS)), st.floats(0.01, 10))
def test_the_number_of_examples_follows_profile_and_scale(number: int, profile: str, scale: float) -> None:
    options.enter(Options(profile=profile, scale=scale))
    try:
        chosen = examples(number)
    finally:
        options.leave()
    assert chosen.max_examples == max(1, round(number * FACTORS[profile] * scale))
    assert chosen.deadline is None
    assert chosen.derandomize == (profile == "quick")


def drawn_with(seed: int) -> list[int]:
    """The examples of a test of the suite that is given a seed."""
    options.enter(Options(seed=seed))
    try:
        chosen = examples(5)
    finally:
        options.leave()
    found: list[int] = []

    @given(st.integers())
    @chosen
    def test(number: int) -> None:
        found.append(number)

    hypothesis.seed(seed)(test)()
    return found


@pytest.mark.parametrize("seed", [0, 7, 1000])
def test_a_seed_draws_other_examples_and_the_same_ones_again(seed: int) -> None:
    assert drawn_with(seed) == drawn_with(seed)
    assert drawn_with(seed) != drawn_with(seed + 1)


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """pytest in this process, so that what is registered here is known there."""
    return pytester.runpytest_inprocess("-p", "no:cacheprovider", *arguments)


def test_the_suite_runs_on_each_backend_given(unregistered: pytest.Pytester) -> None:
    result = run(unregistered, *SUITE, "--backend", "reference", "--backend=native:cpu", "-v")
    assert result.ret == 0
    for name in ("reference", "native:cpu"):
        result.stdout.fnmatch_lines([f"*test_every_device_is_usable_by_its_full_name?{name}? PASSED*"])


def test_the_suite_takes_a_seed(unregistered: pytest.Pytester) -> None:
    result = run(unregistered, *SUITE, "--backend", "reference", "--conformance-seed", "7")
    assert result.ret == 0


def test_without_a_backend_the_suite_says_what_it_needs(unregistered: pytest.Pytester) -> None:
    result = run(unregistered, *SUITE)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*the conformance suite needs --backend NAME*"])


@pytest.mark.parametrize("specification", ["nobody", "reference:nowhere", ":cpu"])
def test_an_unknown_backend_is_an_error_of_use(specification: str, unregistered: pytest.Pytester) -> None:
    result = run(unregistered, *SUITE, "--backend", specification)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{specification.strip(':')}*"])


def test_all_is_every_usable_backend(unregistered: pytest.Pytester) -> None:
    result = run(unregistered, *SUITE, "--backend", "all", "--collect-only", "-q")
    result.stdout.fnmatch_lines(["*name[[]native[]]", "*name[[]reference[]]"])


def test_with_one_backend_the_tests_of_pairs_say_why_they_are_skipped(unregistered: pytest.Pytester) -> None:
    suite = ("--pyargs", "isograd_conformance.suite.test_isolation")
    result = run(unregistered, *suite, "--backend", "reference", "-rs")
    result.assert_outcomes(passed=1, skipped=3)
    result.stdout.fnmatch_lines(["*needs two or more backends*"])


def test_long_tests_are_skipped_unless_asked_for(unregistered: pytest.Pytester) -> None:
    suite = ("--pyargs", "isograd_conformance.suite.test_across", "-k", "thousand")
    backends = ("--backend", "reference", "--backend", "native")
    result = run(unregistered, *suite, *backends, "-rs")
    result.assert_outcomes(skipped=2, deselected=result.parseoutcomes()["deselected"])
    result.stdout.fnmatch_lines(["*takes minutes*"])


OTHERS = """
    from hypothesis import settings

    def test_settings_are_those_that_hypothesis_chooses_by_itself():
        assert settings.get_current_profile_name() in ("default", "ci")
        assert settings().max_examples == 100

    def test_option(request):
        assert request.config.getoption("--backend") == {expected!r}
"""


def test_a_project_keeps_its_own_option_of_the_same_name(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        "def pytest_addoption(parser): parser.addoption('--backend', choices=['x', 'y'], default='x')"
    )
    pytester.makepyfile(OTHERS.format(expected="y"))
    result = pytester.runpytest_subprocess("--backend", "y")
    result.assert_outcomes(passed=2)


def test_loading_the_plugin_imports_nothing_heavy() -> None:
    program = (
        "import sys, isograd_conformance.plugin\n"
        "heavy = {'numpy', 'hypothesis', 'isograd'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_test_of_another_project_is_not_run_by_backend(unregistered: pytest.Pytester) -> None:
    unregistered.makepyfile("def test_subject(): pass")
    run(unregistered).assert_outcomes(passed=1)
    unregistered.makepyfile("def test_subject(subject): pass")
    run(unregistered).assert_outcomes(errors=1)
