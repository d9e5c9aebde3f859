"""Which run counts, what is compared, and how far off it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd.reproduction import Result
from isograd.reproduction.results import Mistake, Votes

Make = Callable[..., Result]
# Fractions of 10,000 images.
ACCURACIES = st.integers(0, 10_000).map(lambda right: right / 10_000)
RUNS = st.lists(st.tuples(ACCURACIES, ACCURACIES), max_size=5)
REPORTED = st.integers(0, 10_000).map(lambda hundredths: hundredths / 100)


@given(RUNS)
def test_of_several_runs_the_first_of_the_best_validation_accuracy_counts(result_of: Make, runs: Any) -> None:
    result = result_of(runs)
    if not runs:
        assert result.chosen is result.accuracy is result.mean is None
        return
    assert result.chosen is not None
    validations = [validation for validation, _ in runs]
    assert result.chosen.seed == validations.index(max(validations))
    assert result.accuracy == result.chosen.test == runs[result.chosen.seed][1]


@given(RUNS.filter(len))
def test_the_mean_is_that_of_the_tests_and_counts_where_the_experiment_says_so(
    result_of: Make, runs: Any
) -> None:
    result = result_of(runs, figure="mean")
    mean = sum(Fraction(test) for _, test in runs) / len(runs)
    # A sum of n terms in [0, 1] and a division: at most n roundings of 2**-53 of at most n, by n.
    assert abs(Fraction(result.mean or 0.0) - mean) <= Fraction(len(runs), 2**53)
    assert result.accuracy == result.mean


@given(RUNS.filter(len), ACCURACIES)
def test_an_ensemble_counts_by_plurality_and_only_when_it_has_voted(
    result_of: Make, runs: Any, right: float
) -> None:
    waiting = result_of(runs, members=len(runs) + 1, wanted=len(runs) + 1)
    assert waiting.accuracy is waiting.difference is None
    votes = Votes({"plurality": right, "mean": 0.0}, {"plurality": 0.0, "mean": 0.0})
    assert result_of(runs, members=len(runs), votes=votes).accuracy == right


@given(ACCURACIES, REPORTED)
def test_the_difference_is_in_points_and_within_a_tenth_of_one_is_good(
    result_of: Make, test: float, reported: float
) -> None:
    result = result_of([(0.5, test)], reported=reported)
    hundredths = round(10_000 * test) - round(100 * reported)
    assert result.difference is not None
    assert f"{result.difference:+.2f}" == f"{hundredths / 100:+.2f}"
    assert result.verdict == ("good" if hundredths >= -10 else "bad")
    assert replace(result, scaled=True).verdict == "none"
    assert replace(result, wanted=2).verdict == "none"
    assert result_of([(0.5, test)]).difference is None
    assert result_of([(0.5, test)]).verdict == "none"


def test_runs_without_validation_or_test_data_are_no_error(result_of: Make) -> None:
    result = result_of([(None, 0.5), (None, None)])
    assert result.chosen is not None
    assert (result.chosen.seed, result.chosen.epoch, result.chosen.validation) == (0, 0, None)
    assert result.mean == 0.5
    assert result_of([(0.5, None)]).accuracy is None


@pytest.mark.parametrize(("epochs", "extent"), [(1, "scaled to 1 epoch"), (3, "scaled to 3 epochs")])
def test_the_extent_says_how_a_run_was_scaled(result_of: Make, epochs: int, extent: str) -> None:
    whole = result_of([(0.5, 0.5)])
    assert whole.extent == "full"
    run = whole.run.override({"training.epochs": epochs})
    assert result_of([(0.5, 0.5)], run=run, scaled=True).extent == extent


@given(RUNS)
def test_plain_data_is_json_and_has_everything(result_of: Make, runs: Any) -> None:
    result = result_of(runs, reported=99.0, failed={9: "no memory"}, mistakes=(Mistake(3, 1, 7),))
    data = json.loads(json.dumps(result.to_data(), allow_nan=False))
    assert data["experiment"]["name"] == "deep"
    assert data["run"]["training"]["epochs"] == result.run.training.epochs
    assert data["chosen"] == (None if result.chosen is None else result.chosen.seed)
    assert [(run["validation_accuracy"], run["test_accuracy"]) for run in data["runs"]] == [
        tuple(pair) for pair in runs
    ]
    assert [len(run["history"]["epochs"]) for run in data["runs"]] == [1] * len(runs)
    assert data["failed"] == {"9": "no memory"}
    assert data["mistakes"] == [{"index": 3, "label": 1, "given": 7}]
    for name in ("accuracy", "difference", "verdict", "mean", "extent", "votes"):
        assert name in data
