"""When the gap between training and validation opened, by a plain reading of its definition."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd.errors import ArgumentError, ArgumentTypeError
from isograd.testing import ReferenceBackend
from isograd.training import Diagnostics, EpochRecord, History, overfitting

Make = Callable[..., Any]

# Few different costs, so that equal ones and every order occur.
COSTS = st.sampled_from([0.0, 1.0, 2.0, 3.0, math.nan, math.inf])
EPOCHS = st.lists(st.tuples(st.none() | COSTS, st.none() | COSTS), min_size=1, max_size=7)


def history_of(costs: Sequence[tuple[float | None, float | None]]) -> History:
    """Epochs with a training and a validation cost, or without."""
    records = []
    for epoch, (training, validation) in enumerate(costs):
        measured = {} if training is None else {"training_cost": training, "training_accuracy": 0.75}
        accuracy = None if validation is None else 0.5
        records.append(EpochRecord(epoch, 9.0, 0.1, 1.0, 1.0, accuracy, validation, measured=measured))
    return History(records)


@given(EPOCHS)
def test_the_opening_is_the_first_epoch_from_which_on_all_are_worse_and_fit_better(costs: Any) -> None:
    both = {e: (t, v) for e, (t, v) in enumerate(costs) if t is not None and v is not None}
    if not both:
        with pytest.raises(ArgumentError, match="no epoch with both training_cost and validation_cost"):
            overfitting(history_of(costs))
        return
    found = overfitting(history_of(costs))
    finite = [(v, e) for e, (t, v) in both.items() if math.isfinite(v)]
    assert found.lowest == (min(finite)[1] if finite else None)
    opening = None
    for epoch in both:
        if finite and epoch > min(finite)[1] and opening is None:
            training, validation = both[min(finite)[1]]
            later = [both[e] for e in both if e >= epoch]
            opening = epoch if all(t < training and v > validation for t, v in later) else None
    assert found.opened == opening
    assert found.cost_gap.keys() == found.accuracy_gap.keys() == both.keys()
    assert repr(found.cost_gap) == repr({e: v - t for e, (t, v) in both.items()})
    assert set(found.accuracy_gap.values()) == {0.25}
    assert found.diverging == tuple(
        e for e in both if e - 1 in both and both[e][1] > both[e - 1][1] and both[e][0] < both[e - 1][0]
    )


@pytest.mark.parametrize(
    ("training", "validation", "lowest", "opened", "diverging"),
    [
        ([3, 2, 1, 0], [3, 1, 2, 3], 1, 2, (2, 3)),
        ([3, 2, 1, 0], [3, 2, 1, 0], 3, None, ()),
        ([3, 2, 3, 1], [3, 1, 2, 2], 1, 3, ()),  # in epoch 2 the training cost was worse, too
        ([3, 2, 2, 2], [3, 1, 2, 3], 1, None, ()),  # the training cost fell no more
        ([3, 2, 1, 0], [3, 1, 2, 1], 1, None, (2,)),  # the validation cost came back
    ],
)
def test_examples_of_curves(
    training: Any, validation: Any, lowest: int, opened: int | None, diverging: tuple[int, ...]
) -> None:
    found = overfitting(history_of(list(zip(training, validation, strict=True))))
    assert (found.lowest, found.opened, found.diverging) == (lowest, opened, diverging)


def test_it_reads_what_a_run_with_diagnostics_measured(
    backend: ReferenceBackend, make_data: Make, make_network: Make
) -> None:
    data, validation = make_data(8), make_data(6, 1)
    history = make_network().SGD(data, 3, 2, 1.0, validation, callbacks=[Diagnostics(data)], backend=backend)
    found = overfitting(history)
    assert list(found.cost_gap) == list(found.accuracy_gap) == [0, 1, 2]
    assert overfitting(History.from_json(history.to_json())) == found


def test_what_is_no_history_is_refused() -> None:
    with pytest.raises(ArgumentTypeError, match="history is a list; expected a History"):
        overfitting([])  # type: ignore[arg-type]
