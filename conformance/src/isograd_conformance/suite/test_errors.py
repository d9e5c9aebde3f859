"""Bad input is refused with an error that names it, and leaves nothing changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from isograd import graph as G
from isograd.backend import Executable
from isograd.errors import ArgumentError, ArgumentTypeError, ShapeError, UnsupportedError
from isograd.graph.tensor import PRIMITIVES, Primitive, Tensor
from isograd_conformance.checks import assert_same_bits, bytes_of, require
from isograd_conformance.subject import HostArray, Results, Subject

pytestmark = pytest.mark.judges("errors")

Arrays = dict[str, Any]


def small(dtype: str) -> G.Function:
    """y = rows of table at indices, plus x; w takes w + y."""
    table, x = G.variable("table", (5, 3), dtype), G.variable("x", (2, 3), dtype)
    indices, w = G.variable("indices", (2,), "int32"), G.variable("w", (2, 3), dtype)
    y = G.gather(table, indices) + x
    return G.Function({"table": table, "x": x, "indices": indices}, {"y": y}, {"w": w}, {"w": w + y})


def good(dtype: str) -> tuple[Arrays, Arrays]:
    inputs = {"table": np.ones((5, 3), dtype), "x": np.ones((2, 3), dtype)}
    return {**inputs, "indices": np.asarray([0, 4], "int32")}, {"w": np.zeros((2, 3), dtype)}


@pytest.fixture(scope="module")
def executable(subject: Subject) -> Executable:
    require(subject, "int32")
    return subject.compile(small(subject.floating[0]))


Spoil = Callable[[Arrays, Arrays], Any]


def _whole(shape: tuple[int, ...]) -> HostArray:
    """Of another dtype than any floating-point variable."""
    return np.ones(shape, "int32")


BAD: dict[str, tuple[Spoil, type[Exception], str]] = {
    "a missing input": (lambda i, s: i.pop("x"), ArgumentError, r"\bx\b"),
    "an unknown input": (lambda i, s: i.update(z=i["x"]), ArgumentError, r"\bz\b"),
    "an input of another shape": (lambda i, s: i.update(x=i["x"].T.copy()), ShapeError, r"\bx\b.*shape"),
    "an input of another dtype": (
        lambda i, s: i.update(x=_whole((2, 3))),
        ArgumentTypeError,
        r"\bx\b.*int32",
    ),
    "an index too large": (
        lambda i, s: i.update(indices=np.asarray([0, 5], "int32")),
        ArgumentError,
        "indices",
    ),
    "a negative index": (
        lambda i, s: i.update(indices=np.asarray([-1, 0], "int32")),
        ArgumentError,
        "indices",
    ),
    "a missing state": (lambda i, s: s.clear(), ArgumentError, r"\bw\b"),
    "an unknown state": (lambda i, s: s.update(v=s["w"]), ArgumentError, r"\bv\b"),
    "a state of another shape": (lambda i, s: s.update(w=s["w"][0].copy()), ShapeError, r"\bw\b.*shape"),
    "a state of another dtype": (lambda i, s: s.update(w=_whole((2, 3))), ArgumentTypeError, r"\bw\b.*int32"),
}
EACH = pytest.mark.parametrize(("spoil", "error", "message"), BAD.values(), ids=BAD.keys())


@contextmanager
def refused(
    subject: Subject, error: type[Exception], message: str, *given: Mapping[str, Any]
) -> Iterator[None]:
    """What is done inside is refused so, and leaves the arrays of the backend that were given as they are."""
    held = [bytes_of(subject.fetch(arrays)) for arrays in given]
    with pytest.raises(error, match=message):
        yield
    assert [bytes_of(subject.fetch(arrays)) for arrays in given] == held, "what was given has changed"


def results(subject: Subject, executable: Executable) -> Results:
    return subject.call(executable, *good(subject.floating[0]))


@EACH
def test_a_call_refuses(
    spoil: Spoil, error: type[Exception], message: str, executable: Executable, subject: Subject
) -> None:
    before = results(subject, executable)
    inputs, state = good(subject.floating[0])
    spoil(inputs, state)
    sent = subject.send(inputs), subject.send(state)
    with refused(subject, error, message, *sent):
        executable(*sent)
    assert_same_bits(results(subject, executable), before)


@EACH
def test_a_run_of_steps_refuses_among_its_resident_arrays(
    spoil: Spoil, error: type[Exception], message: str, executable: Executable, subject: Subject
) -> None:
    before = results(subject, executable)
    inputs, state = good(subject.floating[0])
    spoil(inputs, state)
    resident, before_it = subject.send(inputs), subject.send(state)
    with refused(subject, error, message, resident, before_it):
        subject.backend.run_steps(executable, before_it, resident, {}, 2)
    assert_same_bits(results(subject, executable), before)


@EACH
def test_a_run_of_steps_refuses_among_its_rows(
    spoil: Spoil, error: type[Exception], message: str, executable: Executable, subject: Subject
) -> None:
    before = results(subject, executable)
    inputs, state = good(subject.floating[0])
    right = {name: array.copy() for name, array in inputs.items()}
    spoil(inputs, state)
    # Only the last row is bad, where a bad value can be in one row.
    per_step = {
        name: np.stack([right[name] if name == "indices" else array, array]) for name, array in inputs.items()
    }
    rows, before_it = subject.send(per_step), subject.send(state)
    with refused(subject, error, message, rows, before_it):
        subject.backend.run_steps(executable, before_it, {}, rows, 2)
    assert_same_bits(results(subject, executable), before)


@pytest.mark.parametrize("where", ["inputs", "state"])
def test_what_is_no_array_is_refused(where: str, executable: Executable, subject: Subject) -> None:
    host_inputs, host_state = good(subject.floating[0])
    inputs, state = subject.send(host_inputs), subject.send(host_state)
    name = "x" if where == "inputs" else "w"
    (inputs if where == "inputs" else state)[name] = [[1.0] * 3] * 2
    with pytest.raises(ArgumentTypeError, match=rf"\b{name}\b.*list"):
        executable(inputs, state)
    with pytest.raises(ArgumentTypeError, match=rf"\b{name}\b.*list"):
        subject.backend.run_steps(executable, state, inputs, {}, 1)


@pytest.mark.parametrize(
    ("steps", "error"),
    [(0, ArgumentError), (-1, ArgumentError), (True, ArgumentError), (1.5, ArgumentTypeError)],
)
def test_a_number_of_steps_that_is_none(
    steps: Any, error: type[Exception], executable: Executable, subject: Subject
) -> None:
    inputs, state = good(subject.floating[0])
    with pytest.raises(error, match="steps"):
        subject.run_steps(executable, state, inputs, {}, steps)


def test_rows_that_do_not_fit_the_number_of_steps(executable: Executable, subject: Subject) -> None:
    inputs, state = good(subject.floating[0])
    x = inputs.pop("x")
    with pytest.raises(ArgumentError, match="'x'"):
        subject.run_steps(executable, state, inputs, {"x": np.stack([x] * 3)}, 2)
    with pytest.raises(ArgumentError, match="'x' is in both"):
        subject.run_steps(executable, state, {**inputs, "x": x}, {"x": np.stack([x] * 3)}, 3)


class Foreign:
    """An executable that no backend has compiled."""

    def __init__(self, function: G.Function, device: str) -> None:
        self.function, self.device = function, device

    def __call__(self, inputs: Mapping[str, Any], state: Mapping[str, Any]) -> Any:
        raise AssertionError("an executable of another backend was run")


def test_an_executable_of_another_backend_is_refused(subject: Subject) -> None:
    require(subject, "int32")
    inputs, state = good(subject.floating[0])
    with pytest.raises(ArgumentTypeError, match="Foreign"):
        subject.run_steps(Foreign(small(subject.floating[0]), subject.device), state, inputs, {}, 1)


def test_an_unknown_primitive_is_refused_when_compiled_by_name(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(x: Tensor) -> Tensor:
        return Tensor("fourier_transform", (x,), x.shape, x.dtype, {})

    monkeypatch.setitem(PRIMITIVES, "fourier_transform", Primitive("fourier_transform", "unary", build, "?"))
    x = G.variable("x", (2,), subject.floating[0])
    with pytest.raises(UnsupportedError, match="fourier_transform"):
        subject.compile(G.Function({"x": x}, {"y": -build(x)}))


def test_an_unknown_device_is_refused_and_the_known_ones_named(subject: Subject) -> None:
    dtype = subject.floating[0]
    x = G.variable("x", (2,), dtype)
    function = G.Function({"x": x}, {"y": -x})
    known = subject.backend.devices()[0]
    with pytest.raises(ArgumentError, match=rf"'nowhere:7'.*{known}"):
        subject.backend.compile(function, "nowhere:7")
    with pytest.raises(ArgumentError, match="'nowhere'"):
        subject.backend.to_device(np.ones(2, dtype), "nowhere")


@pytest.mark.parametrize("dtype", ["float16", "int64", "complex64", "uint16", *G.DTYPES])
def test_an_array_of_a_dtype_that_is_not_declared_is_refused(dtype: str, subject: Subject) -> None:
    if subject.declares(dtype):
        pytest.skip(f"{subject.specification} declares {dtype}")
    with pytest.raises(UnsupportedError, match=dtype):
        subject.backend.to_device(np.ones(2, dtype), subject.device)


@pytest.mark.parametrize("dtype", G.DTYPES)
def test_a_function_of_a_dtype_that_is_not_declared_is_refused(dtype: str, subject: Subject) -> None:
    if subject.declares(dtype):
        pytest.skip(f"{subject.specification} declares {dtype}")
    x = G.variable("x", (2,), dtype)
    with pytest.raises(UnsupportedError, match=dtype):
        subject.compile(G.Function({"x": x}, {"y": x.reshape(2, 1)}))


def test_without_a_native_gradient_the_error_says_what_to_use(subject: Subject) -> None:
    if subject.capabilities.native_gradient:
        pytest.skip(f"{subject.specification} declares native_gradient")
    x = G.variable("x", (2,), subject.floating[0])
    function = G.Function({"x": x}, {"cost": (x * x).sum()})
    with pytest.raises(UnsupportedError, match="symbolic"):
        subject.compile_native_gradient(function, "cost", ["x"])


def test_a_limit_of_threads_is_a_context_or_refused(executable: Executable, subject: Subject) -> None:
    if not subject.capabilities.limits_threads:
        with pytest.raises(UnsupportedError, match="threads"):
            subject.backend.limit_threads(1)
        return
    before = results(subject, executable)
    with subject.backend.limit_threads(1):
        assert_same_bits(results(subject, executable), before)
    with pytest.raises(KeyboardInterrupt), subject.backend.limit_threads(1):
        raise KeyboardInterrupt
    assert_same_bits(results(subject, executable), before)
