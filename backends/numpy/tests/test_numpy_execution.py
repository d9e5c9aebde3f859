"""Executables are reentrant, read resident arrays where they lie, and keep no more memory than they need."""

from __future__ import annotations

import gc
import threading
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from isograd import graph as G
from isograd_conformance.checks import bytes_of
from isograd_conformance.strategies.networks import small_data, small_step, small_weights
from isograd_numpy import executable
from isograd_numpy.backend import NumpyBackend

Array = np.ndarray[Any, Any]


@pytest.fixture(autouse=True, params=[0, 2**40], ids=["bound", "copied"])
def _bound_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """From which size on a resident array is used where it lies, by a plan of its own: any, or none."""
    monkeypatch.setattr(executable, "_BOUND_BYTES", request.param)


def steps_of(seed: int, steps: int, batch: int = 4) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 30, size=(steps, batch)).astype("int32")
    return {"rows": rows, "eta": np.full(steps, 0.01, "float32")}


def test_threads_get_the_bits_that_they_would_get_alone(backend: NumpyBackend) -> None:
    function = small_step("float32")
    compiled = backend.compile(function, "cpu")
    resident = small_data(0)  # shared by two threads; the others have their own
    sets = [resident, resident, small_data(1), small_data(2)]

    def run(thread: int, start: Callable[[], Any]) -> list[tuple[dict[str, Array], dict[str, Array]]]:
        start()
        results, state = [], small_weights(function, thread)
        for repeat in range(6):
            per_step = steps_of(10 * thread + repeat, 5)
            outputs, state = backend.run_steps(compiled, state, sets[thread], per_step, 5)
            inputs = {**sets[thread], **{name: rows[0] for name, rows in per_step.items()}}
            results += [(outputs, state), compiled(inputs, state)]
        return results

    barrier = threading.Barrier(4)
    with ThreadPoolExecutor(4) as pool:
        together = [pool.submit(run, thread, barrier.wait) for thread in range(4)]
    for thread, future in enumerate(together):
        for (outputs, state), (alone, state_alone) in zip(future.result(), run(thread, bool), strict=True):
            assert bytes_of(outputs) == bytes_of(alone)
            assert bytes_of(state) == bytes_of(state_alone)


def test_products_that_blas_itself_divides_among_threads(backend: NumpyBackend) -> None:
    a, b = G.variable("a", (300, 200), "float64"), G.variable("b", (200, 250), "float64")
    w = G.variable("w", (300, 250), "float64")
    function = G.Function({"a": a, "b": b}, {"y": a @ b}, {"w": w}, {"w": w - 0.5 * (a @ b)})
    compiled = backend.compile(function, "cpu")

    def run(seed: int) -> bytes:
        rng = np.random.default_rng(seed)
        made = {name: rng.normal(size=x.shape) for name, x in (("a", a), ("b", b), ("w", w))}
        outputs, new = compiled({"a": made["a"], "b": made["b"]}, {"w": made["w"]})
        return outputs["y"].tobytes() + new["w"].tobytes()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, range(12))) == [run(seed) for seed in range(12)]


def picked(dtype: str = "float32", size: tuple[int, ...] = (1000, 20)) -> G.Function:
    data, rows = G.variable("data", size, dtype), G.variable("rows", (2,), "int32")
    return G.Function({"data": data, "rows": rows}, {"y": G.gather(data, rows)})


ROWS = {"rows": np.asarray([[0, 3]], "int32")}


def test_a_new_array_in_the_place_of_a_freed_one_is_not_taken_for_it(backend: NumpyBackend) -> None:
    compiled = backend.compile(picked(), "cpu")
    for number in range(10):
        data = np.full((1000, 20), number, "float32")
        outputs, _ = backend.run_steps(compiled, {}, {"data": data}, ROWS, 1)
        np.testing.assert_array_equal(outputs["y"], np.full((1, 2, 20), number))
        del data


def test_resident_arrays_are_told_apart_by_identity_not_by_name_or_shape(backend: NumpyBackend) -> None:
    compiled = backend.compile(picked(), "cpu")
    sets = [np.full((1000, 20), number, "float32") for number in range(7)]
    for number in [0, 1, 0, 2, 3, 4, 5, 6, 0, 6, 1]:
        outputs, _ = backend.run_steps(compiled, {}, {"data": sets[number]}, ROWS, 1)
        assert (outputs["y"] == number).all()
        assert (compiled({"data": sets[number], "rows": ROWS["rows"][0]}, {})[0]["y"] == number).all()


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "C order": lambda a: a,
    "Fortran order": np.asfortranarray,
    "every second row": lambda a: np.repeat(a, 2, axis=0)[::2],
    "reversed": lambda a: a[::-1],
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_large_resident_arrays_are_read_where_they_lie(
    layout: Callable[[Array], Array], backend: NumpyBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the limit as it is
    data = layout(np.random.default_rng(0).normal(size=(60_000, 20)))
    data.flags.writeable = False
    compiled = backend.compile(picked("float64", (60_000, 20)), "cpu")
    tracemalloc.start()
    outputs, _ = backend.run_steps(compiled, {}, {"data": data}, ROWS, 1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_array_equal(outputs["y"][0], data[[0, 3]])
    assert peak < data.nbytes / 10


def test_small_resident_arrays_share_one_plan(backend: NumpyBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan of `__call__` too, so that other data of the same size cost no new one."""
    monkeypatch.undo()
    made, make = [], executable.make_plan
    monkeypatch.setattr(executable, "make_plan", lambda *args: made.append(args) or make(*args))
    function = small_step("float32")
    compiled = backend.compile(function, "cpu")
    for seed in range(3):
        data, per_step = small_data(seed), steps_of(seed, 2)
        _, state = backend.run_steps(compiled, small_weights(function, seed), data, per_step, 2)
        compiled({**data, **{name: rows[0] for name, rows in per_step.items()}}, state)
    assert len(made) == 1


class Interrupted:
    """Rows of which one ends the run, as Ctrl-C would."""

    def __init__(self, rows: Array, at: int) -> None:
        self.shape, self.dtype = rows.shape, rows.dtype
        self.rows, self.at = rows, at

    def __getitem__(self, step: int) -> Array:
        if step == self.at:
            raise KeyboardInterrupt
        return self.rows[step]


def test_an_interrupted_run_leaves_nothing_behind(backend: NumpyBackend) -> None:
    function, data = small_step("float32"), small_data(0)
    compiled = backend.compile(function, "cpu")
    state, per_step = small_weights(function, 0), steps_of(0, 5)
    before = bytes_of(state)
    expected = backend.run_steps(compiled, state, data, per_step, 5)
    for at in range(5):
        interrupted = {**per_step, "eta": Interrupted(per_step["eta"], at)}
        with pytest.raises(KeyboardInterrupt):
            backend.run_steps(compiled, state, data, interrupted, 5)
        assert bytes_of(state) == before
        again = backend.run_steps(compiled, state, data, per_step, 5)
        assert bytes_of(again[0]) == bytes_of(expected[0])
        assert bytes_of(again[1]) == bytes_of(expected[1])


def test_memory_does_not_grow_from_run_to_run(backend: NumpyBackend) -> None:
    function = small_step("float32")
    compiled = backend.compile(function, "cpu")

    def run(seed: int) -> None:
        data = small_data(seed)  # a new set each time: the plans of old ones have to go
        _, state = backend.run_steps(compiled, small_weights(function, seed), data, steps_of(seed, 2), 2)
        compiled({**data, **{name: rows[0] for name, rows in steps_of(seed, 1).items()}}, state)

    tracemalloc.start()
    for seed in range(6):
        run(seed)
    gc.collect()
    settled, _ = tracemalloc.get_traced_memory()
    for seed in range(10):
        run(seed)
    gc.collect()
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown - settled < settled / 10


def test_steps_need_no_memory_but_for_their_results(backend: NumpyBackend) -> None:
    """A hundred steps allocate no more than ten, beside a row of results for each."""
    function, data = small_step("float32"), small_data(0)
    compiled = backend.compile(function, "cpu")
    peaks = []
    for steps in (10, 10, 100):
        tracemalloc.start()
        backend.run_steps(compiled, small_weights(function, 0), data, steps_of(0, steps), steps)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] - peaks[1] < 90 * 64


def test_a_limit_of_threads_holds_within_its_context_alone(backend: NumpyBackend) -> None:
    def threads() -> list[int]:
        return [info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"]

    def interrupted() -> None:
        with backend.limit_threads(1):
            assert set(threads()) == {1}
            raise KeyboardInterrupt

    before = threads()
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert threads() == before


def test_limits_of_threads_may_end_in_any_order(backend: NumpyBackend) -> None:
    def threads() -> list[int]:
        return [info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"]

    before = threads()
    first, second = backend.limit_threads(1), backend.limit_threads(1)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert set(threads()) == {1}
    second.__exit__(None, None, None)
    assert threads() == before
