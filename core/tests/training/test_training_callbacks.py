"""Callbacks: when they are called, how they stop a run, and what an error in one leaves behind."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
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


class Meter(Callback):
    """Measures what it is told to, and notes what it was shown."""

    def __init__(self, answer: Any = None, ends: Any = ()) -> None:
        self.answer = answer
        self.positions = ends
        self.seen: list[tuple[Any, ...]] = []

    def ends(self, steps: int, full_steps: int) -> Any:
        self.seen.append(("ends", steps, full_steps))
        return self.positions

    def on_chunk(self, progress: Progress) -> None:
        self.seen.append(("chunk", progress.epoch, progress.step))

    def measure(self, progress: Progress) -> Any:
        self.seen.append(("measure", progress.epoch, progress.step))
        self.bits = bits(progress.network)
        return self.answer

    def on_epoch(self, record: EpochRecord) -> None:
        self.seen.append(("epoch", record.epoch))


def test_what_callbacks_measure_is_put_together_in_the_record_of_the_epoch(
    backend: ReferenceBackend, make_data: Make, make_network: Make
) -> None:
    first, second = Meter({"a/0.weight": 1, "b": np.float32(0.5)}), Meter({"c": float("inf")})
    network = make_network()
    history = network.SGD(make_data(9), 2, 2, 0.1, callbacks=[first, Meter(), print, second], backend=backend)
    expected = {"a/0.weight": 1.0, "b": 0.5, "c": float("inf")}
    assert [record.measured for record in history.epochs] == [expected] * 2
    assert all(type(value) is float for record in history.epochs for value in record.measured.values())
    assert first.bits == second.bits == bits(network)
    assert first.seen[-3:] == [("chunk", 1, 5), ("measure", 1, 5), ("epoch", 1)]
    assert network.training is not None
    assert network.training.history.epochs == history.epochs


def test_a_resumed_run_keeps_what_was_measured_before(
    backend: ReferenceBackend, make_data: Make, make_network: Make, tmp_path: Path
) -> None:
    path, data = tmp_path / "run.safetensors", make_data(9)
    make_network().SGD(
        data, 2, 2, 0.1, callbacks=[Meter({"a": float("nan")})], max_steps=7, checkpoint=path, backend=backend
    )
    history = Network.load(path).SGD(
        data, 3, 2, 0.1, callbacks=[Meter({"b": 2.0})], resume=True, backend=backend
    )
    assert repr([record.measured for record in history.epochs]) == "[{'a': nan}, {'b': 2.0}, {'b': 2.0}]"


@pytest.mark.parametrize(
    ("answers", "error", "message"),
    [
        ([7], ArgumentTypeError, r"callbacks\[0\].measure returned 7"),
        ([None, {1: 1.0}], ArgumentTypeError, r"callbacks\[1\].measure returned the name 1"),
        ([{"a": "much"}], ArgumentTypeError, "returned 'much' for 'a'"),
        ([{"a": True}], ArgumentTypeError, "returned True for 'a'"),
        ([{"a": 10**400}], ArgumentError, "'a' beyond the range"),
        ([{"a": 1.0}, {"a": 1.0}], ArgumentError, r"callbacks\[1\].measure returned 'a', which another"),
    ],
)
def test_what_is_no_measurement_ends_the_run_with_the_epochs_parameters(
    backend: ReferenceBackend, make_data: Make, make_network: Make, answers: Any, error: Any, message: str
) -> None:
    network, meters = make_network(), [Meter(answer) for answer in answers]
    with pytest.raises(error, match=message):
        network.SGD(make_data(9), 2, 2, 0.1, callbacks=meters, backend=backend)
    assert meters[-1].seen[-1] == ("measure", 0, 5)
    assert bits(network) == meters[-1].bits


@given(ends=st.sets(st.integers(1, 5)), rows=st.sampled_from([9, 10]))
def test_chunks_end_where_callbacks_say_and_change_no_bit(
    backend: ReferenceBackend, make_data: Make, make_network: Make, ends: set[int], rows: int
) -> None:
    left_alone, network, meter = make_network(0.5), make_network(0.5), Meter(ends=ends)
    data = make_data(rows)
    left_alone.SGD(data, 2, 2, 0.1, momentum=0.5, backend=backend)
    network.SGD(data, 2, 2, 0.1, momentum=0.5, callbacks=[meter], backend=backend)
    full = rows // 2
    assert meter.seen[0] == ("ends", 5, full)
    chunks = sorted({*ends, full, 5})
    assert [e for e in meter.seen if e[0] == "chunk"] == [("chunk", e, s) for e in (0, 1) for s in chunks]
    assert bits(network) == bits(left_alone)


@pytest.mark.parametrize(
    ("ends", "error", "message"),
    [
        (7, ArgumentTypeError, r"callbacks\[0\].ends\(5, 4\) is 7"),
        ("12", ArgumentTypeError, "is '12'"),
        ([1, "2"], ArgumentTypeError, "is '2'"),
        ([0], ArgumentError, "is 0; expected at least 1"),
        ([6], ArgumentError, "has 6; expected at most 5"),
    ],
)
def test_an_end_outside_the_epoch_is_refused_before_the_run(
    backend: ReferenceBackend, make_data: Make, make_network: Make, ends: Any, error: Any, message: str
) -> None:
    network = make_network()
    network.SGD(make_data(9), 1, 2, 0.1, backend=backend)
    before, training = bits(network), network.training
    with pytest.raises(error, match=message):
        network.SGD(make_data(9), 1, 2, 0.1, callbacks=[Meter(ends=ends)], backend=backend)
    assert bits(network) == before
    assert network.training is training


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
    assert all((r.full_steps, r.choice) == (4, (backend, "cpu")) for r in reports)
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
    assert f"epoch 0: cost {shown.epochs[0].cost:.5g}" in errors.getvalue()
    assert f"test {100 * shown.epochs[0].test_accuracy:.2f} %" in errors.getvalue()
    assert out.getvalue() == ""
    assert shown.epochs[0].cost == quiet.epochs[0].cost
