"""The defaults of the backend contract, and the cache of compiled functions."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from isograd import graph
from isograd.backend import Backend, Capabilities
from isograd.backend_checks import check_dtypes
from isograd.compilation import CompilationCache, compile_cached
from isograd.errors import ArgumentError, ArgumentTypeError, UnsupportedError
from isograd.graph.dtypes import DTYPES

HostArray = npt.NDArray[Any]


class Swap:
    """Outputs `fixed` and `changing` as they came; moves `changing` into `a` and the old `a` into `b`."""

    def __init__(self, function: Any, device: str) -> None:
        self.function = function
        self.device = device

    def __call__(
        self, inputs: Mapping[str, HostArray], state: Mapping[str, HostArray]
    ) -> tuple[dict[str, HostArray], dict[str, HostArray]]:
        assert all(isinstance(array, np.ndarray) for array in inputs.values())
        return dict(inputs), {"a": inputs["changing"], "b": state["a"]}


class HostBackend(Backend):
    """Arrays are NumPy's; whatever is compiled becomes a `Swap`, and is counted."""

    name = "host"
    version = "1.0"
    capabilities = Capabilities(dtypes=frozenset(DTYPES))

    def __init__(self) -> None:
        self.compiled: list[Any] = []
        self.reduced: str | None = None

    def devices(self) -> list[str]:
        return ["cpu", "other"]

    def to_device(self, array: HostArray, device: str) -> HostArray:
        return array

    def to_host(self, array: HostArray) -> HostArray:
        return array

    def compile(self, function: Any, device: str) -> Swap:
        self.compiled.append(function)
        return Swap(function, device)

    def precision(self, dtype: str, device: str) -> str:
        return self.reduced or super().precision(dtype, device)


@st.composite
def rows_and_fixed(draw: st.DrawFn) -> tuple[HostArray, HostArray]:
    """An array with one row a step, and one of the rows' shape and dtype."""
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
    steps = draw(st.integers(1, 5))
    return draw(hnp.arrays(dtype, (steps, *shape))), draw(hnp.arrays(dtype, shape))


@given(rows_and_fixed())
def test_run_steps_feeds_each_row_to_one_step_and_the_state_to_the_next(
    arrays: tuple[HostArray, HostArray],
) -> None:
    rows, fixed = arrays
    backend = HostBackend()
    executable = backend.compile(None, "cpu")
    state = {"a": fixed, "b": fixed}
    before = fixed.tobytes()
    outputs, after = backend.run_steps(executable, state, {"fixed": fixed}, {"changing": rows}, len(rows))
    previous = rows[-2] if len(rows) > 1 else fixed
    assert after["a"].tobytes() == rows[-1].tobytes()
    assert after["b"].tobytes() == previous.tobytes()
    assert outputs["changing"].tobytes() == rows.tobytes()
    assert outputs["fixed"].tobytes() == before * len(rows)
    for name, output in outputs.items():
        assert (output.shape, output.dtype) == (rows.shape, rows.dtype)
        assert not np.shares_memory(output, rows if name == "changing" else fixed)
    assert state["a"] is fixed
    assert state["b"] is fixed
    assert fixed.tobytes() == before


@pytest.mark.parametrize(
    ("steps", "per_step", "resident", "error", "message"),
    [
        (0, {}, {}, ArgumentError, "steps is 0; expected an int of at least 1"),
        (-1, {}, {}, ArgumentError, "steps is -1"),
        (True, {}, {}, ArgumentError, "steps is True"),
        (2.0, {}, {}, ArgumentTypeError, "steps is 2.0; expected an int"),
        (2, {"eta": np.zeros(3)}, {}, ArgumentError, r"per_step 'eta' has shape \[3\]; expected 2 rows"),
        (2, {"eta": np.zeros(())}, {}, ArgumentError, r"per_step 'eta' has shape \[\]; expected 2 rows"),
        (2, {"eta": [0.1, 0.1]}, {}, ArgumentTypeError, "per_step 'eta' is a list; expected an array"),
        (2, {"x": np.zeros(2)}, {"x": np.zeros(2)}, ArgumentError, "'x' is in both resident and per_step"),
    ],
)
def test_run_steps_refuses_what_does_not_fit_before_the_first_step(
    steps: Any, per_step: Any, resident: Any, error: type[Exception], message: str
) -> None:
    def executable(inputs: object, state: object) -> Any:
        raise AssertionError("a step was run")

    with pytest.raises(error, match=message):
        HostBackend().run_steps(executable, {}, resident, per_step, steps)  # type: ignore[arg-type]


class OtherSwap(Swap):
    """What another backend compiles."""

    def __call__(self, inputs: object, state: object) -> Any:
        raise AssertionError("a step was run")


@pytest.mark.parametrize("kinds", [HostBackend, (HostBackend, int)])
def test_run_steps_refuses_an_executable_of_a_class_that_is_not_declared(kinds: Any) -> None:
    class Strict(HostBackend):
        executables = kinds

    with pytest.raises(ArgumentTypeError, match="executable is a OtherSwap; expected one compiled here"):
        Strict().run_steps(OtherSwap(None, "cpu"), {}, {}, {}, 1)


@pytest.mark.parametrize("kinds", [Swap, (int, Swap)])
def test_run_steps_takes_an_executable_of_a_class_that_is_declared(kinds: Any) -> None:
    class Strict(HostBackend):
        executables = kinds

    backend = Strict()
    rows = np.arange(2.0)
    _, state = backend.run_steps(backend.compile(None, "cpu"), {"a": rows[0]}, {}, {"changing": rows}, 2)
    assert (state["a"], state["b"]) == (1, 0)


@given(st.sets(st.sampled_from(DTYPES)), st.sampled_from(DTYPES))
def test_a_function_of_a_dtype_that_is_not_declared_is_refused_wherever_it_has_it(
    declared: set[str], dtype: str
) -> None:
    """As a variable that nothing reads, and within."""
    unused = graph.variable("unused", (), dtype)
    x = graph.variable("x", ())
    inner = graph.Function({"x": x}, {"y": x.cast(dtype).cast("float32")})
    for function in (
        graph.Function({}, {}, {"unused": unused}),
        graph.Function({"unused": unused}, {}),
        inner,
    ):
        if dtype in declared:
            check_dtypes("mine", function, {*declared, "float32"})
        elif dtype != "float32":
            with pytest.raises(UnsupportedError, match=rf"function has {dtype}; backend 'mine' has"):
                check_dtypes("mine", function, {*declared, "float32"})


def test_a_backend_without_a_native_gradient_says_so() -> None:
    with pytest.raises(UnsupportedError, match="'host' has no native gradient"):
        HostBackend().compile_native_gradient(scaled(1.0), "y", ["x"], "cpu")


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"dtypes": {"float32"}}, ArgumentTypeError, "dtypes is .*; expected a frozenset"),
        ({"dtypes": frozenset()}, ArgumentError, "dtypes is .*; expected at least one of float32"),
        ({"dtypes": frozenset({"flaot32"})}, ArgumentError, "'flaot32'.*; expected at least one of float32"),
        ({"fuses": "no"}, ArgumentTypeError, "fuses is 'no'; expected a bool"),
        ({"ulps": {"exp": 0}}, ArgumentError, "ulps of 'exp' is 0"),
        ({"ulps": {"exp": float("nan")}}, ArgumentError, "ulps of 'exp' is nan"),
        ({"ulps": {"exp": "2"}}, ArgumentTypeError, "ulps of 'exp' is '2'"),
    ],
)
def test_capabilities_name_the_field_that_is_wrong(
    fields: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Capabilities(**{"dtypes": frozenset({"float32"})} | fields)


def scaled(
    factor: float, rows: int = 2, dtype: Any = "float32", unused_rows: int = 1, output: str = "y"
) -> graph.Function:
    """y = factor * x, with a further input that no output depends on."""
    x = graph.variable("x", (rows,), dtype)
    unused = graph.variable("unused", (unused_rows,), dtype)
    return graph.Function({"x": x, "unused": unused}, {output: x * factor})


def test_equal_functions_are_compiled_once() -> None:
    backend, cache = HostBackend(), CompilationCache()
    first = cache.compile(backend, scaled(2.0), "cpu")
    assert cache.compile(backend, scaled(2.0), "cpu") is first
    assert len(backend.compiled) == 1


@pytest.mark.parametrize(
    "other",
    [
        scaled(3.0),
        scaled(2.0, rows=3),
        scaled(2.0, dtype="float64"),
        scaled(2.0, unused_rows=2),
        scaled(2.0, output="z"),
    ],
    ids=["constant", "shape", "dtype", "shape of an unused input", "name of an output"],
)
def test_functions_that_differ_in_anything_are_compiled_apart(other: graph.Function) -> None:
    backend, cache = HostBackend(), CompilationCache()
    for function in (scaled(2.0), other):
        assert cache.compile(backend, function, "cpu").function is function


def test_device_precision_and_backend_are_compiled_apart() -> None:
    backend, twin, cache = HostBackend(), HostBackend(), CompilationCache()
    plain = cache.compile(backend, scaled(2.0), "cpu")
    assert cache.compile(backend, scaled(2.0), "other").device == "other"
    assert cache.compile(twin, scaled(2.0), "cpu") is not plain
    backend.reduced = "tensorfloat32"
    assert cache.compile(backend, scaled(2.0), "cpu") is not plain
    backend.reduced = None
    assert cache.compile(backend, scaled(2.0), "cpu") is plain
    assert len(cache) == 4


def test_native_gradients_are_compiled_apart_by_what_is_differentiated() -> None:
    class Native(HostBackend):
        def compile_native_gradient(self, function: Any, cost: Any, wrt: Any, device: str) -> Swap:
            return Swap((cost, tuple(wrt)), device)

    backend, cache, function = Native(), CompilationCache(), scaled(2.0)
    plain = cache.compile(backend, function, "cpu")
    asked = [("y", ("x",)), ("y", ("x", "unused")), ("y", ())]
    for cost, wrt in asked:
        first = cache.compile_native_gradient(backend, function, cost, list(wrt), "cpu")
        assert first.function == (cost, wrt)  # type: ignore[comparison-overlap]
        assert cache.compile_native_gradient(backend, function, cost, wrt, "cpu") is first
    assert cache.compile(backend, function, "cpu") is plain


@given(uses=st.lists(st.integers(0, 5), max_size=30), maxsize=st.integers(1, 4))
def test_the_least_recently_used_is_dropped_first(uses: list[int], maxsize: int) -> None:
    backend, cache = HostBackend(), CompilationCache(maxsize)
    recent: list[int] = []
    for use in uses:
        count = len(backend.compiled)
        cache.compile(backend, scaled(float(use)), "cpu")
        assert len(backend.compiled) - count == (use not in recent)
        recent = [*(other for other in recent if other != use), use][-maxsize:]
        assert len(cache) == len(recent)
    cache.clear()
    assert len(cache) == 0


def test_threads_that_ask_at_once_compile_once_and_others_do_not_wait() -> None:
    release, threads = threading.Event(), 6

    class Slow(HostBackend):
        def compile(self, function: Any, device: str) -> Swap:
            if device == "cpu":
                assert release.wait(60), "the quick compilation had to wait for the slow one"
            return super().compile(function, device)

    backend, cache = Slow(), CompilationCache()
    with ThreadPoolExecutor(threads) as pool:
        slow = [pool.submit(cache.compile, backend, scaled(2.0), "cpu") for _ in range(threads)]
        cache.compile(backend, scaled(2.0), "other")
        release.set()
        assert len({id(future.result(60)) for future in slow}) == 1
    assert len(backend.compiled) == 2


def test_a_failed_compilation_is_not_kept() -> None:
    class Moody(HostBackend):
        def compile(self, function: Any, device: str) -> Swap:
            if not self.compiled:
                self.compiled.append(None)
                raise UnsupportedError("no such primitive")
            return super().compile(function, device)

    backend, cache = Moody(), CompilationCache()
    with pytest.raises(UnsupportedError, match="no such primitive"):
        cache.compile(backend, scaled(2.0), "cpu")
    assert len(cache) == 0
    assert cache.compile(backend, scaled(2.0), "cpu").device == "cpu"


def test_the_cache_of_the_process_compiles_once() -> None:
    backend = HostBackend()
    assert compile_cached(backend, scaled(2.0), "cpu") is compile_cached(backend, scaled(2.0), "cpu")


@pytest.mark.parametrize(
    ("maxsize", "error"), [(0, ArgumentError), (1.5, ArgumentTypeError), (True, ArgumentTypeError)]
)
def test_the_size_of_a_cache_is_a_positive_int(maxsize: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="maxsize is"):
        CompilationCache(maxsize)
