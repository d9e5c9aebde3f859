"""Callbacks: when they are called, how they stop a run, and what an error in one leaves behind."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isograd.errors import ArgumentError, ArgumentTypeError
from isograd.network import Network
from isograd.testing import ReferenceBackend
from isograd.training import Callback, EpochRecord, Progress

Make = Callable[..., Any]


class Diary(Callback):
    """Writes down each call, and stops or raises at one of them."""

    def __init__(self, every: int | None = None, stop_at: int | None = None, answer: object = "stop") -> None:
        self.every = every
        self.stop_at = stop_at
        self.answer = answer
        self.entries: list[tuple[Any, ...]] = []
        self.parameters: list[dict[str, bytes]] = []

    def on_start(self, progress: Progress) -> object:
        return self.write("start", progress.epoch, progress.step)

    def on_chunk(self, progress: Progress) -> object:
        self.parameters.append(bits(progress.network))
        return self.write("chunk", progress.epoch, progress.step)

    def on_epoch(self, record: EpochRecord) -> object:
        return self.write("epoch", record.epoch)

    def write(self, *entry: Any) -> object:
        self.entries.append(entry)
        if len(self.entries) - 1 != self.stop_at:
            return None
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def bits(network: Network) -> dict[str, bytes]:
    return {path: array.tobytes() for path, array in network.parameters.items()}


# Two epochs of five steps, the last of them partial; chunks end after every second step of the run.
CALENDAR = [
    ("start", 0, 0),
    *[("chunk", 0, step) for step in (2, 4, 5)],
    ("epoch", 0),
    *[("chunk", 1, step) for step in (1, 3, 4, 5)],
    ("epoch", 1),
]


def test_callbacks_are_called_at_the_start_after_chunks_and_after_epochs(
    backend: ReferenceBackend, make_data: Make, make_network: Make
) -> None:
    diary = Diary(every=2)
    history = make_network().SGD(make_data(9), 2, 2, 0.1, callbacks=[diary], backend=backend)
    assert diary.entries == CALENDAR
    assert history.stopped == "completed"


@settings(max_examples=12)
@given(stop_at=st.integers(0, len(CALENDAR) - 1))
def test_stop_ends_the_run_there_and_what_was_trained_stays(
    backend: ReferenceBackend, make_data: Make, make_network: Make, stop_at: int
) -> None:
    diary, network = Diary(every=2, stop_at=stop_at), make_network()
    history = network.SGD(make_data(9), 2, 2, 0.1, make_data(5, 1), callbacks=[diary], backend=backend)
    # An epoch whose last step is done is evaluated and recorded all the same.
    reached = stop_at + 1 + (CALENDAR[stop_at] in [("chunk", 0, 5), ("chunk", 1, 5)])
    assert diary.entries == CALENDAR[:reached]
    assert history.stopped == ("completed" if reached == len(CALENDAR) else "callback")
    assert len(history.epochs) == sum(entry[0] == "epoch" for entry in CALENDAR[:reached])
    assert bits(network) == (diary.parameters[-1] if diary.parameters else bits(make_network()))


@settings(max_examples=12)
@given(stop_at=st.integers(0, len(CALENDAR) - 1))
def test_an_error_in_a_callback_leaves_the_parameters_of_the_last_chunk(
    backend: ReferenceBackend, make_data: Make, make_network: Make, stop_at: int
) -> None:
    diary, network = Diary(every=2, stop_at=stop_at, answer=LookupError("mine")), make_network()
    network.SGD(make_data(9), 1, 2, 0.1, backend=backend)
    begun_with = bits(network)
    with pytest.raises(LookupError, match="mine"):
        network.SGD(make_data(9), 2, 2, 0.1, callbacks=[diary], backend=backend)
    assert bits(network) == (diary.parameters[-1] if diary.parameters else begun_with)
    assert network.training is None
    network.SGD(make_data(9), 1, 2, 0.1, backend=backend)


def test_a_misspelt_stop_is_an_error_and_other_answers_mean_nothing(
    backend: ReferenceBackend, make_data: Make, make_network: Make
) -> None:
    with pytest.raises(ArgumentError, match="returned 'halt'; expected None or \"stop\""):
        make_network().SGD(make_data(), 1, 5, 0.1, callbacks=[lambda record: "halt"], backend=backend)
    history = make_network().SGD(make_data(), 1, 5, 0.1, callbacks=[lambda record: True], backend=backend)
    assert history.stopped == "completed"


def test_all_callbacks_are_called_even_when_one_stops(
    backend: ReferenceBackend, make_data: Make, make_network: Make
) -> None:
    first, second = Diary(stop_at=1), Diary()
    make_network().SGD(make_data(), 3, 10, 0.1, callbacks=[first, second], backend=backend)
    assert first.entries == second.entries == [("start", 0, 0), ("chunk", 0, 1), ("epoch", 0)]


def test_what_a_callback_does_to_the_parameters_does_not_reach_the_run(
    backend: ReferenceBackend, make_data: Make, make_network: Make
) -> None:
    class Vandal(Callback):
        every = 1

        def on_chunk(self, progress: Progress) -> None:
            for array in progress.network.parameters.values():
                array[...] = float("nan")

    left_alone, visited = make_network(), make_network()
    left_alone.SGD(make_data(), 2, 2, 0.1, make_data(), early_stopping=5, backend=backend)
    visited.SGD(make_data(), 2, 2, 0.1, make_data(), early_stopping=5, callbacks=[Vandal()], backend=backend)
    assert visited.training is not None
    assert visited.training.best is not None
    for path, array in left_alone.parameters.items():
        assert visited.training.arrays[path].tobytes() == array.tobytes()
    assert {path: a.tobytes() for path, a in visited.training.best.items()} == bits(left_alone)


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        (print, "callbacks is"),
        (7, "callbacks is 7"),
        ([7], r"callbacks\[0\] is 7"),
        ([print, Callback], r"callbacks\[1\] is .*expected a Callback or a function"),
        ([Diary(every="often")], r"callbacks\[0\].every is 'often'"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_callback_is_refused(
    backend: ReferenceBackend, make_data: Make, make_network: Make, callbacks: Any, message: str
) -> None:
    with pytest.raises(ArgumentTypeError, match=message):
        make_network().SGD(make_data(), 1, 5, 0.1, callbacks=callbacks, backend=backend)


def test_progress_says_where_the_run_is(
    backend: ReferenceBackend, make_data: Make, make_network: Make
) -> None:
    reports: list[Progress] = []

    class Reporter(Callback):
        every = 2

        def on_chunk(self, progress: Progress) -> None:
            reports.append(progress)

    network = make_network()
    history = network.SGD(make_data(9), 1, 2, 0.25, callbacks=[Reporter()], backend=backend)
    assert [(r.epoch, r.epochs, r.step, r.steps, r.eta) for r in reports] == [
        (0, 1, step, 5, 0.25) for step in (2, 4, 5)
    ]
    assert all(r.network is network and r.images_per_second > 0 for r in reports)
    # Sums of five numbers in another order.
    total = 2 * reports[0].cost + 2 * reports[1].cost + reports[2].cost
    assert abs(total / 5 - history.epochs[0].cost) <= 10 * 2.0**-53 * history.epochs[0].cost


def test_the_progress_bar_writes_to_the_error_stream_when_asked_to(
    backend: ReferenceBackend, make_data: Make, make_network: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors, out = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", errors)
    monkeypatch.setattr(sys, "stdout", out)
    data = make_data()
    quiet = make_network().SGD(data, 1, 5, 0.1, backend=backend)
    assert errors.getvalue() == ""
    shown = make_network().SGD(data, 1, 5, 0.1, data, data, progress=True, backend=backend)
    assert f"epoch 0: cost {shown.epochs[0].cost:.4f}" in errors.getvalue()
    assert f"test accuracy {shown.epochs[0].test_accuracy:.2%}" in errors.getvalue()
    assert out.getvalue() == ""
    assert shown.epochs[0].cost == quiet.epochs[0].cost
