"""Backends side by side in one process, and runs on one, in threads: each gives what it gives alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from isograd import ConvPool, FullyConnected, Network, Softmax
from isograd.backend import Executable
from isograd_conformance.checks import require, same
from isograd_conformance.steps import hold_each, run_cut, watched
from isograd_conformance.strategies.networks import (
    every_kind_of_layer,
    small_data,
    small_rows,
    small_step,
    small_weights,
    toy_digits,
)
from isograd_conformance.subject import HostArrays, Results, Subject

pytestmark = [pytest.mark.judges("isolation"), pytest.mark.unordered]

Pair = tuple[Subject, Subject]
STEPS = 5


@pytest.fixture(scope="module")
def compiled(pair: Pair) -> list[tuple[Subject, str, Executable]]:
    """The same step on each of the two, in double precision on the first and in single on the second.

    So a switch of the precision that leaks from one to the other is seen.
    """
    made = []
    for subject, dtype in zip(pair, (pair[0].floating[-1], pair[1].floating[0]), strict=True):
        require(subject, "int32", "uint8", "bool")
        made.append((subject, dtype, subject.compile(watched(small_step(dtype)))))
    return made


def alone(subject: Subject, dtype: str, executable: Executable, seed: int) -> Results:
    """Some steps by themselves, each held to the bound."""
    rows, start = small_rows(seed, STEPS, dtype), small_weights(executable.function, seed)
    found = run_cut(subject, executable, rows, start, small_data(seed), [1] * STEPS)
    hold_each(subject, executable.function, rows, start, small_data(seed), found)
    return found


def test_interleaved(compiled: list[tuple[Subject, str, Executable]]) -> None:
    states: list[HostArrays] = [small_weights(executable.function, 0) for _, _, executable in compiled]
    data = small_data(0)
    for step in range(STEPS):
        for i, (subject, dtype, executable) in enumerate(compiled):
            row = small_rows(0, STEPS, dtype)[step : step + 1]
            states[i] = run_cut(subject, executable, row, states[i], data, [1]).state
    for (subject, dtype, executable), state in zip(compiled, states, strict=True):
        expected = alone(subject, dtype, executable, 0)
        same(subject, Results({}, dict(state)), Results({}, expected.state))


def test_in_threads(compiled: list[tuple[Subject, str, Executable]]) -> None:
    barrier = threading.Barrier(len(compiled))

    def work(which: int, start: Callable[[], Any]) -> list[Results]:
        start()
        subject, dtype, executable = compiled[which]
        return [alone(subject, dtype, executable, seed) for seed in range(3)]

    with ThreadPoolExecutor(len(compiled)) as pool:
        futures = [pool.submit(work, which, barrier.wait) for which in range(len(compiled))]
        together = [future.result() for future in futures]
    for which, results in enumerate(together):
        for found, expected in zip(results, work(which, bool), strict=True):
            same(compiled[which][0], found, expected)


def test_two_runs_on_one_backend_in_threads(subject: Subject) -> None:
    require(subject, "int32", "uint8", "bool")
    threads = 1 if subject.capabilities.limits_threads else None

    def work(seed: int, start: Callable[[], Any]) -> Results:
        start()
        layers = [ConvPool(2, window=3), FullyConnected(6, p_dropout=0.5), Softmax(10, weight_init="n_in")]
        net = Network(layers, (1, 12, 12), seed, dtype=subject.floating[-1])
        data = toy_digits()
        # Both begin and end with their limits of threads, one inside of the other or not.
        history = net.SGD(
            *(data, 2 + seed, 5, 0.1, data),
            momentum=0.5,
            backend=subject.specification,
            threads=threads,
        )
        costs = np.asarray([(record.cost, record.validation_cost) for record in history.epochs])
        return Results({"costs": costs}, net.checked_arrays())

    barrier = threading.Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(work, seed, barrier.wait) for seed in range(2)]
        together = [future.result() for future in futures]
    for seed, found in enumerate(together):
        assert all(np.isfinite(array).all() for array in found.state.values())
        same(subject, found, work(seed, bool))


def test_whole_runs_in_threads(pair: Pair) -> None:
    def work(subject: Subject, start: Callable[[], Any]) -> Results:
        start()
        net = Network(every_kind_of_layer(), (1, 12, 12), seed=2, dtype=subject.floating[-1])
        # An interrupt is the main thread's business; a run in another one just runs.
        history = net.SGD(toy_digits(), 2, 5, 0.1, momentum=0.5, backend=subject.specification)
        costs = np.asarray([record.cost for record in history.epochs])
        return Results({"costs": costs}, net.checked_arrays())

    barrier = threading.Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(work, subject, barrier.wait) for subject in pair]
        together = [future.result() for future in futures]
    for subject, found in zip(pair, together, strict=True):
        expected = work(subject, bool)
        assert all(np.isfinite(array).all() for array in found.state.values())
        same(subject, found, expected)
