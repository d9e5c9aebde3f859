"""Executables are pure and reentrant: threads, interleaving and interruption change nothing."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from isograd import graph as G
from isograd.backend import Executable
from isograd.plugins import backend_descriptors
from isograd_conformance.checks import assert_same_bits, bytes_of, require, same
from isograd_conformance.fresh import fingerprint
from isograd_conformance.interruption import Calls
from isograd_conformance.steps import check_steps, hold_each, run_cut, watched
from isograd_conformance.strategies.networks import small_data, small_rows, small_step, small_weights
from isograd_conformance.subject import HostArrays, Results, Subject

pytestmark = pytest.mark.judges("isolation")


@pytest.fixture(scope="module")
def executable(subject: Subject) -> Executable:
    """A training step of a small convolutional network, with the state before it among the outputs."""
    require(subject, "int32", "uint8", "bool")
    return subject.compile(watched(small_step(subject.floating[0])))


def run(
    subject: Subject, executable: Executable, seed: int, data: HostArrays, steps: int = 5, judged: bool = True
) -> Results:
    """A run of steps, each held to the bound unless it is to be compared to the bit with one that was."""
    rows = small_rows(seed, steps, subject.floating[0])
    start = small_weights(executable.function, seed)
    found = run_cut(subject, executable, rows, start, data, [steps])
    if judged or not subject.capabilities.deterministic:
        hold_each(subject, executable.function, rows, start, data, found)
    return found


def test_what_was_compiled_and_for_which_device_can_be_asked(subject: Subject) -> None:
    x = G.variable("x", (2,), subject.floating[0])
    function = G.Function({"x": x}, {"y": -x})
    executable = subject.compile(function)
    assert executable.function.digest == function.digest
    assert executable.device == subject.device


def test_steps_of_a_network_in_chunks(subject: Subject) -> None:
    require(subject, "int32", "uint8", "bool")
    function = small_step(subject.floating[0])
    data = small_data(0)
    rows = [{**row, **data} for row in small_rows(0, 5, subject.floating[0])]
    check_steps(subject, function, rows, small_weights(function, 0), list(data), cut=2)


def test_threads_get_what_they_would_get_alone(subject: Subject, executable: Executable) -> None:
    shared = small_data(0)  # by two threads; the others have their own
    sets = [shared, shared, small_data(1), small_data(2)]

    def work(thread: int, start: Callable[[], Any], judged: bool) -> list[Results]:
        start()
        seeds = range(10 * thread, 10 * thread + 3)
        return [run(subject, executable, seed, sets[thread], judged=judged) for seed in seeds]

    barrier = threading.Barrier(4)
    with ThreadPoolExecutor(4) as pool:
        together = [pool.submit(work, thread, barrier.wait, False) for thread in range(4)]
        found = [future.result() for future in together]
    for thread, results in enumerate(found):
        for result, alone in zip(results, work(thread, bool, True), strict=True):
            same(subject, result, alone)


def test_two_executables_interleaved_do_not_disturb_each_other(
    subject: Subject, executable: Executable
) -> None:
    other, data = subject.compile(executable.function), small_data(0)
    rows = small_rows(0, 6, subject.floating[0])
    start = state = small_weights(executable.function, 0)
    beside = small_weights(executable.function, 1)
    alone = run_cut(subject, executable, rows, start, data, [1] * 6)
    for step in range(6):
        state = run_cut(subject, executable, rows[step : step + 1], state, data, [1]).state
        beside = run_cut(subject, other, small_rows(step, 1, subject.floating[0]), beside, data, [1]).state
    same(subject, Results({}, state), Results({}, alone.state))
    hold_each(subject, executable.function, rows, start, data, alone)


def test_the_results_of_a_run_outlive_the_next_one(subject: Subject, executable: Executable) -> None:
    """So does what was given to it: state and resident data belong to the caller."""
    kept: list[dict[str, Any]] = []
    held: list[dict[str, bytes]] = []
    on_the_host: list[tuple[HostArrays, dict[str, bytes]]] = []
    for seed in range(3):
        rows = small_rows(seed, 3, subject.floating[0])
        per_step = subject.send({name: np.stack([row[name] for row in rows]) for name in rows[0]})
        state = subject.send(small_weights(executable.function, seed))
        resident = subject.send(small_data(seed))
        given = [state, resident, per_step]
        before = [bytes_of(subject.fetch(arrays)) for arrays in given]
        outputs, new = subject.backend.run_steps(executable, state, resident, per_step, 3)
        on_the_host.append((outputs, bytes_of(outputs)))
        kept += [*given, new]
        held += [*before, bytes_of(subject.fetch(new))]
    assert [bytes_of(subject.fetch(arrays)) for arrays in kept] == held
    assert all(bytes_of(outputs) == found for outputs, found in on_the_host)


def picked(dtype: str) -> G.Function:
    data, rows = G.variable("data", (1000, 20), dtype), G.variable("rows", (2,), "int32")
    return G.Function({"data": data, "rows": rows}, {"y": G.gather(data, rows)})


def test_resident_arrays_are_told_apart_by_identity_not_by_name_shape_or_place(subject: Subject) -> None:
    """Of seven data sets, some are freed and others come to lie where they lay."""
    require(subject, "int32")
    dtype = subject.floating[0]
    executable = subject.compile(picked(dtype))
    row = {"rows": np.asarray([0, 3], "int32")}
    per_step = {"rows": row["rows"][None]}
    kept = [subject.send({"data": np.full((1000, 20), number, dtype)}) for number in range(3)]
    for number in [0, 1, 0, 2, 7, 8, 0, 9, 1]:
        new = {"data": np.full((1000, 20), number, dtype)}
        resident = kept[number] if number < len(kept) else subject.send(new)
        stacked, _ = subject.backend.run_steps(executable, {}, resident, subject.send(per_step), 1)
        assert (stacked["y"] == number).all()
        outputs, _ = executable({**resident, **subject.send(row)}, {})
        assert (subject.fetch(outputs)["y"] == number).all()
        del resident, new


def test_an_interrupted_run_leaves_nothing_behind(subject: Subject, executable: Executable) -> None:
    """At places all over the run: what is kept between calls is in order at most of them."""
    steps, data = 3, small_data(0)
    rows = small_rows(0, steps, subject.floating[0])
    start = small_weights(executable.function, 0)
    per_step = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    state, resident, changing = (subject.send(arrays) for arrays in (start, data, per_step))
    expected = run(subject, executable, 0, data, steps)
    with Calls() as calls:
        subject.backend.run_steps(executable, state, resident, changing, steps)
    # No more than the count: the last call is that of leaving the context.
    for place in np.random.default_rng(0).integers(1, calls.count, size=12):
        with pytest.raises(KeyboardInterrupt), Calls(int(place)):
            subject.backend.run_steps(executable, state, resident, changing, steps)
        assert bytes_of(subject.fetch(state)) == bytes_of(start), "the state that was given has changed"
        outputs, new = subject.backend.run_steps(executable, state, resident, changing, steps)
        again = Results({n: np.array(a) for n, a in outputs.items()}, subject.fetch(new))
        if subject.capabilities.deterministic:
            assert_same_bits(again, expected)
        else:
            hold_each(subject, executable.function, rows, start, data, again)


@pytest.mark.same_bits
def test_another_process_gets_the_same_bits(subject: Subject) -> None:
    require(subject, "int32", "uint8", "bool")
    if not subject.capabilities.deterministic:
        pytest.skip(f"{subject.specification} does not declare deterministic")
    if backend_descriptors()[subject.backend.name].distribution is None:
        pytest.skip(f"{subject.specification} is registered in this process only")
    command = [sys.executable, "-m", "isograd_conformance.fresh", subject.specification]
    there = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert there == fingerprint(subject)
