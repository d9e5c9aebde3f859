"""Bad input is refused with an error that names it, and leaves nothing changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from isograd import graph as G
from isograd.errors import ArgumentError, ArgumentTypeError, ShapeError, UnsupportedError
from isograd.graph.tensor import PRIMITIVES, Primitive, Tensor
from isograd.testing import ReferenceBackend
from isograd_numpy.backend import NumpyBackend
from isograd_numpy.executable import NumpyExecutable
from isograd_numpy.plugin import descriptor

Array = np.ndarray[Any, Any]
Arrays = dict[str, Any]


def small() -> G.Function:
    """y = rows of table at indices, plus x; w takes y."""
    table, x = G.variable("table", (5, 3)), G.variable("x", (2, 3))
    indices, w = G.variable("indices", (2,), "int32"), G.variable("w", (2, 3))
    y = G.gather(table, indices) + x
    return G.Function({"table": table, "x": x, "indices": indices}, {"y": y}, {"w": w}, {"w": w + y})


def good() -> tuple[Arrays, Arrays]:
    inputs = {"table": np.ones((5, 3), "float32"), "x": np.ones((2, 3), "float32")}
    return {**inputs, "indices": np.asarray([0, 4], "int32")}, {"w": np.zeros((2, 3), "float32")}


@pytest.fixture
def executable(backend: NumpyBackend) -> NumpyExecutable:
    return backend.compile(small(), "cpu")


BAD: dict[str, tuple[Callable[[Arrays, Arrays], Any], type[Exception], str]] = {
    "a missing input": (lambda i, s: i.pop("x"), ArgumentError, "x"),
    "an unknown input": (lambda i, s: i.update(z=i["x"]), ArgumentError, "'z'"),
    "an input of another shape": (
        lambda i, s: i.update(x=np.ones((3, 2), "float32")),
        ShapeError,
        "x has shape",
    ),
    "an input of another dtype": (
        lambda i, s: i.update(x=np.ones((2, 3))),
        ArgumentTypeError,
        "x is float64",
    ),
    "an input that is no array": (lambda i, s: i.update(x=[[1.0] * 3] * 2), ArgumentTypeError, "x is a list"),
    "an index too large": (
        lambda i, s: i.update(indices=np.asarray([0, 5], "int32")),
        ArgumentError,
        "indices has",
    ),
    "a negative index": (
        lambda i, s: i.update(indices=np.asarray([-1, 0], "int32")),
        ArgumentError,
        "indices has",
    ),
    "a missing state": (lambda i, s: s.clear(), ArgumentError, "state"),
    "an unknown state": (lambda i, s: s.update(v=s["w"]), ArgumentError, "'v'"),
    "a state of another shape": (lambda i, s: s.update(w=np.ones(3, "float32")), ShapeError, "w has shape"),
    "a state of another dtype": (lambda i, s: s.update(w=np.ones((2, 3))), ArgumentTypeError, "w is float64"),
}


@pytest.mark.parametrize(("spoil", "error", "message"), BAD.values(), ids=BAD.keys())
def test_a_call_refuses(
    spoil: Callable[[Arrays, Arrays], Any], error: type[Exception], message: str, executable: NumpyExecutable
) -> None:
    inputs, state = good()
    expected = executable(inputs, state)
    spoil(inputs, state)
    with pytest.raises(error, match=message):
        executable(inputs, state)
    again = executable(*good())
    np.testing.assert_array_equal(again[0]["y"], expected[0]["y"])
    np.testing.assert_array_equal(again[1]["w"], expected[1]["w"])


@pytest.mark.parametrize(("spoil", "error", "message"), BAD.values(), ids=BAD.keys())
def test_a_run_of_steps_refuses_among_its_resident_arrays(
    spoil: Callable[[Arrays, Arrays], Any],
    error: type[Exception],
    message: str,
    executable: NumpyExecutable,
    backend: NumpyBackend,
) -> None:
    inputs, state = good()
    spoil(inputs, state)
    with pytest.raises(error, match=message):
        backend.run_steps(executable, state, inputs, {}, 2)


STACKABLE = {name: row for name, row in BAD.items() if name != "an input that is no array"}


@pytest.mark.parametrize(("spoil", "error", "message"), STACKABLE.values(), ids=STACKABLE.keys())
def test_a_run_of_steps_refuses_among_its_rows(
    spoil: Callable[[Arrays, Arrays], Any],
    error: type[Exception],
    message: str,
    executable: NumpyExecutable,
    backend: NumpyBackend,
) -> None:
    inputs, state = good()
    spoil(inputs, state)
    per_step = {name: np.stack([array, array]) for name, array in inputs.items()}
    with pytest.raises(error, match=message):
        backend.run_steps(executable, state, {}, per_step, 2)


@pytest.mark.parametrize(
    ("steps", "error"), [(0, ArgumentError), (True, ArgumentError), (1.5, ArgumentTypeError)]
)
def test_a_number_of_steps_that_is_none(
    steps: Any, error: type[Exception], executable: NumpyExecutable, backend: NumpyBackend
) -> None:
    inputs, state = good()
    with pytest.raises(error, match="steps"):
        backend.run_steps(executable, state, inputs, {}, steps)


def test_rows_that_do_not_fit_the_number_of_steps(executable: NumpyExecutable, backend: NumpyBackend) -> None:
    inputs, state = good()
    x = np.stack([inputs.pop("x")] * 3)
    with pytest.raises(ArgumentError, match="'x'"):
        backend.run_steps(executable, state, inputs, {"x": x}, 2)
    with pytest.raises(ArgumentError, match="'x' is in both"):
        backend.run_steps(executable, state, {**inputs, "x": x[0]}, {"x": x}, 3)


def test_an_executable_of_another_backend_is_refused(backend: NumpyBackend) -> None:
    foreign = ReferenceBackend().compile(small(), "cpu")
    inputs, state = good()
    with pytest.raises(ArgumentTypeError, match="ReferenceExecutable"):
        backend.run_steps(foreign, state, inputs, {}, 1)


def test_an_unknown_primitive_is_refused_when_compiled_by_name(
    backend: NumpyBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(x: Tensor) -> Tensor:
        return Tensor("fourier_transform", (x,), x.shape, x.dtype, {})

    monkeypatch.setitem(PRIMITIVES, "fourier_transform", Primitive("fourier_transform", "unary", build, "?"))
    x = G.variable("x", (2,))
    with pytest.raises(UnsupportedError, match="fourier_transform"):
        backend.compile(G.Function({"x": x}, {"y": -build(x)}), "cpu")


def test_an_unknown_device_is_refused_and_the_known_one_named(backend: NumpyBackend) -> None:
    with pytest.raises(ArgumentError, match=r"'cuda:0'.*cpu"):
        backend.compile(small(), "cuda:0")
    with pytest.raises(ArgumentError, match="'gpu'"):
        backend.to_device(np.ones(2), "gpu")
    assert backend.devices() == ["cpu"]


@pytest.mark.parametrize("dtype", ["float16", "int64", "complex64", "uint16"])
def test_a_dtype_that_is_not_declared_is_refused(dtype: str, backend: NumpyBackend) -> None:
    with pytest.raises(UnsupportedError, match=dtype):
        backend.to_device(np.ones(2, dtype), "cpu")


@pytest.mark.parametrize("dtype", G.DTYPES)
def test_arrays_pass_to_the_device_and_back_unchanged(dtype: str, backend: NumpyBackend) -> None:
    array = np.arange(6).reshape(2, 3).astype(dtype)
    assert backend.to_host(backend.to_device(array, "cpu")) is array
    swapped = backend.to_device(array.astype(array.dtype.newbyteorder()), "cpu")
    assert swapped.dtype == array.dtype
    np.testing.assert_array_equal(swapped, array)


def test_there_is_no_native_gradient_and_the_error_says_what_to_use(backend: NumpyBackend) -> None:
    assert not backend.capabilities.native_gradient
    with pytest.raises(UnsupportedError, match="symbolic"):
        backend.compile_native_gradient(small(), "y", ["x"], "cpu")


def test_the_descriptor_loads_what_it_describes() -> None:
    made = descriptor.load()
    assert isinstance(made, NumpyBackend)
    assert (made.name, made.capabilities.dtypes) == (descriptor.name, frozenset(descriptor.dtypes))
