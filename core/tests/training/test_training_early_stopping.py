"""Early stopping by any quantity: where it stops, what it keeps, and the same after a resume."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd.errors import ArgumentError, ArgumentTypeError
from isograd.network import Network
from isograd.testing import ReferenceBackend
from isograd.training import Callback, EarlyStopping, Progress

Make = Callable[..., Any]


class Told(Callback):
    """Measures "x": what it was told for the epoch, unless that is None."""

    def __init__(self, values: list[float | None]) -> None:
        self.values = values

    def measure(self, progress: Progress) -> dict[str, float]:
        value = self.values[progress.epoch]
        return {} if value is None else {"x": value}


def expected(
    values: list[float | None], patience: int, min_delta: float, sign: int
) -> tuple[int, int | None]:
    """How many epochs there are, and the best one's number, by the definition."""
    best: int | None = None
    for epoch, value in enumerate(values):
        last = None if best is None else values[best]
        if (
            value is not None
            and not math.isnan(value)
            and (last is None or sign * (value - last) > min_delta)
        ):
            best = epoch
        if epoch - (-1 if best is None else best) >= patience:
            return epoch + 1, best
    return len(values), best


# Differences of small whole numbers are exact.
VALUES = st.one_of(st.none(), st.just(math.nan), st.integers(-3, 3).map(float))


@given(
    values=st.lists(VALUES, min_size=1, max_size=7).filter(lambda v: v[0] is not None),
    patience=st.integers(1, 4),
    min_delta=st.sampled_from([0.0, 1.0, 2.0]),
    mode=st.sampled_from(["max", "min"]),
    stop_after=st.integers(1, 7),
)
def test_it_stops_where_the_definition_says_and_a_resume_changes_nothing(
    backend: ReferenceBackend,
    make_data: Make,
    make_network: Make,
    values: list[float | None],
    patience: int,
    min_delta: float,
    mode: Any,
    stop_after: int,
) -> None:
    stopping = EarlyStopping("x", patience, min_delta, mode)
    data, network = make_data(4), make_network()
    arguments: Any = {"callbacks": [Told(values), stopping], "backend": backend}
    history = network.SGD(data, len(values), 4, 0.1, max_steps=stop_after, **arguments)
    if history.stopped == "max_steps":
        stopping = EarlyStopping("x", patience, min_delta, mode)
        arguments["callbacks"][1] = stopping
        history = network.SGD(data, len(values), 4, 0.1, resume=True, **arguments)
    epochs, best = expected(values, patience, min_delta, 1 if mode == "max" else -1)
    assert len(history.epochs) == epochs
    assert history.stopped == ("callback" if epochs < len(values) else "completed")
    assert stopping.best_epoch == best
    assert stopping.best == (None if best is None else values[best])


def test_the_network_can_have_the_parameters_of_the_best_epoch(
    backend: ReferenceBackend, make_data: Make, make_network: Make
) -> None:
    stopping, network, best = EarlyStopping("x", 2, mode="max"), make_network(), make_network()
    data = make_data()
    best.SGD(data, 2, 5, 0.1, backend=backend)
    history = network.SGD(data, 9, 5, 0.1, callbacks=[Told([1.0, 2.0, 0.0, 0.0]), stopping], backend=backend)
    assert (history.stopped, len(history.epochs), stopping.best_epoch) == ("callback", 4, 1)
    assert stopping.best_arrays is not None
    network.adopt(stopping.best_arrays)
    for path, array in best.parameters.items():
        assert network.parameters[path].tobytes() == array.tobytes()


def test_of_a_best_epoch_before_the_resume_there_are_no_arrays(
    backend: ReferenceBackend, make_data: Make, make_network: Make, tmp_path: Path
) -> None:
    path, told = tmp_path / "run.safetensors", Told([2.0, 1.0, 1.0])
    arguments: Any = {"backend": backend, "checkpoint": path}
    make_network().SGD(make_data(4), 3, 4, 0.1, max_steps=1, callbacks=[told], **arguments)
    stopping = EarlyStopping("x", 5, mode="max")
    Network.load(path).SGD(make_data(4), 3, 4, 0.1, resume=True, callbacks=[told, stopping], **arguments)
    assert (stopping.best, stopping.best_epoch, stopping.best_arrays) == (2.0, 0, None)


@pytest.mark.parametrize("monitor", ["validation_accuracy", "validation_cost", "accuracy"])
def test_a_quantity_that_nothing_measures_is_an_error_that_lists_what_there_is(
    backend: ReferenceBackend, make_data: Make, make_network: Make, monitor: str
) -> None:
    with pytest.raises(ArgumentError, match=f"monitor is '{monitor}'.*epoch 0.*expected one of cost, .*, x$"):
        make_network().SGD(
            make_data(), 2, 5, 0.1, callbacks=[Told([1.0]), EarlyStopping(monitor)], backend=backend
        )


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"monitor": 7}, ArgumentTypeError, "monitor is 7"),
        ({"patience": 0}, ArgumentError, "patience is 0; expected at least 1"),
        ({"min_delta": -1}, ArgumentError, "min_delta is -1"),
        ({"mode": "auto"}, ArgumentError, "mode is 'auto'; expected 'max' or 'min'"),
        ({"monitor": "x"}, ArgumentError, "mode is None, and monitor is 'x'"),
    ],
)
def test_arguments_that_are_not_as_described_are_refused(
    arguments: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        EarlyStopping(**arguments)


def test_accuracies_are_to_rise_and_costs_to_fall() -> None:
    modes = {name: EarlyStopping(name).mode for name in ("training_accuracy", "validation_cost", "cost")}
    assert modes == {"training_accuracy": "max", "validation_cost": "min", "cost": "min"}
