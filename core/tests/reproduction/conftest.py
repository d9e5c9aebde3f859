"""Results made by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from isograd.reproduction import Experiment, Result, Trained
from isograd.training import EpochRecord, History

Accuracies = tuple[float | None, float | None]


def _result(accuracies: Sequence[Accuracies], wanted: int | None = None, **values: Any) -> Result:
    """Runs of one epoch with these validation and test accuracies; values of the experiment or the result."""
    names = ("name", "reported", "members", "vote", "shifts", "figure", "group")
    own = {k: values.pop(k) for k in names if k in values}
    experiment = Experiment(
        own.pop("name", "deep"), "chapter6/deep_relu", values.pop("summary", "four layers"), **own
    )
    runs = tuple(
        Trained(seed, History([EpochRecord(0, 1.0, 0.1, 2.0, 1.0, *pair)], "completed"), "numpy:cpu 1")
        for seed, pair in enumerate(
            (validation, None if validation is None else 0.5, test) for validation, test in accuracies
        )
    )
    return Result(
        experiment,
        values.pop("run", experiment.run(0)),
        values.pop("scaled", False),
        len(runs) if wanted is None else wanted,
        runs,
        **values,
    )


@pytest.fixture(scope="session")
def result_of() -> Callable[..., Result]:
    """result_of([(validation, test), ...], reported=99.0, wanted=3): a result with a run for each pair."""
    return _result
