"""The learning rate as a function of the epoch."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd.errors import ArgumentError, ArgumentTypeError
from isograd.layers import functions
from isograd.testing import ReferenceBackend
from isograd.training import CosineDecay, ExponentialDecay, LinearDecay, Schedule, StepDecay, Triangular
from isograd.training.schedules import from_data, to_data

Make = Callable[..., Any]

etas = st.floats(1e-4, 10.0)
schedules = st.one_of(
    st.builds(StepDecay, etas, st.floats(0.1, 1.0), st.integers(1, 5)),
    st.builds(ExponentialDecay, etas, st.floats(0.1, 1.0)),
    st.builds(LinearDecay, etas, etas, st.integers(2, 9)),
)


@given(schedules, st.integers(0, 12))
def test_a_schedule_is_its_formula(schedule: Schedule, epoch: int) -> None:
    eta = Fraction(schedule.eta)
    if isinstance(schedule, StepDecay):
        exact = eta * Fraction(schedule.factor) ** (epoch // schedule.every)
    elif isinstance(schedule, ExponentialDecay):
        exact = eta * Fraction(schedule.factor) ** epoch
    else:
        assert isinstance(schedule, LinearDecay)
        share = min(Fraction(epoch, schedule.epochs - 1), Fraction(1))
        exact = eta * (1 - share) + Fraction(schedule.last) * share
    # A power within one unit in the last place and at most five further roundings of positive numbers.
    assert abs(Fraction(schedule(epoch)) - exact) <= 8 * Fraction(1, 2**53) * max(exact, eta)


@given(schedules | etas)
def test_eta_survives_json(eta: Any) -> None:
    assert from_data(json.loads(json.dumps(to_data(eta)))) == eta


@pytest.fixture
def halving() -> Iterator[Callable[[int], float]]:
    def halving(epoch: int) -> float:
        return 0.5**epoch

    functions.register("schedule", "test-halving", halving)
    yield halving
    functions.unregister("schedule", "test-halving")


def test_a_function_goes_into_a_file_under_its_registered_name_alone(halving: Any) -> None:
    assert to_data(halving) == "test-halving"
    assert from_data("test-halving") is halving
    with pytest.raises(ArgumentError, match="no name and can not be saved"):
        to_data(lambda epoch: 0.1)


def test_training_takes_a_number_a_schedule_a_function_and_a_registered_name(
    backend: ReferenceBackend, make_data: Make, make_network: Make, halving: Any
) -> None:
    def etas(eta: Any) -> list[float]:
        history = make_network().SGD(make_data(), 3, 5, eta, backend=backend)
        return [record.eta for record in history.epochs]

    assert etas(2) == [2.0, 2.0, 2.0]
    assert etas(StepDecay(1.0, 0.5, 2)) == [1.0, 1.0, 0.5]
    assert etas(lambda epoch: 3.0 - epoch) == [3.0, 2.0, 1.0]
    assert etas("test-halving") == etas(halving) == [1.0, 0.5, 0.25]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: StepDecay(0.0, 0.5, 2), ArgumentError, "eta is 0.0"),
        (lambda: StepDecay(0.1, -1.0, 2), ArgumentError, "factor is -1.0"),
        (lambda: StepDecay(0.1, 0.5, 0), ArgumentError, "every is 0"),
        (lambda: ExponentialDecay(0.1, float("nan")), ArgumentError, "factor is nan"),
        (lambda: ExponentialDecay("fast", 0.5), ArgumentTypeError, "eta is 'fast'"),  # type: ignore[arg-type]
        (lambda: LinearDecay(0.1, 0.0, 5), ArgumentError, "last is 0.0"),
        (lambda: LinearDecay(0.1, 0.01, 1), ArgumentError, "epochs is 1"),
        (lambda: LinearDecay(0.1, 0.01, 2.5), ArgumentTypeError, "epochs is 2.5"),  # type: ignore[arg-type]
        (lambda: from_data({"type": "Sawtooth"}), ArgumentError, "type 'Sawtooth'"),
        (lambda: from_data({"eta": 0.1}), ArgumentError, "type None"),
        (lambda: from_data({"type": "StepDecay", "eta": 0.1}), ArgumentError, "lacks factor, every"),
        (lambda: from_data("unheard-of"), ArgumentError, "'unheard-of'"),
        (lambda: from_data(True), ArgumentTypeError, "eta is True"),
        (lambda: from_data(None), ArgumentTypeError, "eta is None"),
        (lambda: from_data(10**400), ArgumentError, "expected a finite number"),
    ],
)
def test_bad_schedules_are_refused(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


@given(st.integers(1, 4), st.integers(1, 9), st.floats(0, 0.875))
def test_a_rate_by_step_is_above_0_and_at_most_its_peak(epochs: int, steps: int, warm_up: float) -> None:
    for schedule in (Triangular(0.5, epochs, warm_up), CosineDecay(0.5, epochs)):
        rates = [schedule(epoch, step, steps) for epoch in range(epochs) for step in range(steps)]
        assert min(rates) > 0
        assert max(rates) <= 0.5
        falling = rates[rates.index(max(rates)) :]
        assert falling == sorted(falling, reverse=True)
        assert from_data(json.loads(json.dumps(to_data(schedule)))) == schedule


@pytest.mark.parametrize("schedule", [Triangular(0.5, 2, 0.4), CosineDecay(0.5, 3, 0.25)])
def test_every_step_is_taken_with_its_own_rate_and_the_history_has_the_epochs_first(
    recording_backend: Make, make_data: Make, make_network: Make, schedule: Any
) -> None:
    backend = recording_backend()
    history = make_network().SGD(make_data(7), 2, 2, schedule, backend=backend)
    rates = [schedule(epoch, step, 4) for epoch in range(2) for step in range(4)]
    assert [float(eta) for eta in backend.steps("eta")] == rates
    assert [record.eta for record in history.epochs] == [rates[0], rates[4]]


def test_the_way_of_a_schedule_is_its_formula() -> None:
    # Two epochs of two steps: the shares are the odd eighths, and everything is exact in binary.
    steps = [(epoch, step, 2) for epoch in range(2) for step in range(2)]
    assert [Triangular(1.0, 2, 0.5)(*step) for step in steps] == [0.25, 0.75, 0.75, 0.25]
    assert [Triangular(1.0, 2, 0.0)(*step) for step in steps] == [0.875, 0.625, 0.375, 0.125]
    for share in (0.0, 0.25, 0.5, 1.0):
        # (1 + cos) / 2 = cos^2 of the half; a few roundings, and a cosine of 4 ulps.
        expected = 0.25 + 0.5 * math.cos(math.pi * share / 2) ** 2
        assert abs(CosineDecay(0.75, 2, 0.25).at(share) - expected) <= 12 * 2.0**-53


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Triangular(0.0, 2), "eta is 0.0"),
        (lambda: Triangular(0.1, 0), "epochs is 0"),
        (lambda: Triangular(0.1, 2, 1.0), "warm_up is 1.0"),
        (lambda: Triangular(0.1, 2, -0.1), "warm_up is -0.1"),
        (lambda: CosineDecay(0.1, 2, 0.2), "last is 0.2; expected at most eta, 0.1"),
        (lambda: CosineDecay(0.1, 2, -0.1), "last is -0.1"),
        (lambda: from_data({"type": "Triangular", "eta": 0.1}), "eta of type Triangular lacks epochs"),
    ],
)
def test_bad_schedules_by_step_are_refused_by_name(make: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        make()


def test_a_run_longer_than_its_schedule_is_refused(
    backend: ReferenceBackend, make_data: Make, make_network: Make
) -> None:
    with pytest.raises(ArgumentError, match="ends after 2"):
        make_network().SGD(make_data(), 3, 5, Triangular(0.1, 2), backend=backend)
