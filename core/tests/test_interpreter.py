"""The interpreter is a pure executable: what the reference says of each node, and nothing is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import graph as G
from isograd.errors import ArgumentError, ArgumentTypeError, ShapeError
from isograd.graph import reference
from isograd.interpreter import Interpreter

Array = npt.NDArray[Any]


def step() -> G.Function:
    """Two states that change places, one that stays, a constant, and an index that is an input."""
    x, rows = G.variable("x", (3, 2)), G.variable("rows", (2,), "int32")
    state = {name: G.variable(name, (2, 2)) for name in "abc"}
    y = G.gather(x, rows) @ state["a"] + np.asarray([[1, 2], [3, 4]], "float32")
    updates = {"a": state["b"], "b": state["a"] - y}
    return G.Function({"x": x, "rows": rows}, {"y": y, "cost": (y * y).sum()}, state, updates)


def apply(node: G.Tensor, *operands: Array) -> Array:
    return np.asarray(reference.REFERENCE[node.primitive](*operands, **node.attributes), node.dtype)


def arguments(seed: int) -> tuple[dict[str, Array], dict[str, Array]]:
    rng = np.random.default_rng(seed)
    inputs = {"x": rng.normal(size=(3, 2)).astype("float32"), "rows": np.asarray([2, 0], "int32")}
    return inputs, {name: rng.normal(size=(2, 2)).astype("float32") for name in "abc"}


def bits(arrays: Mapping[str, Array]) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in arrays.items()}


@given(seeds=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=3))
def test_each_call_is_what_the_reference_says_whatever_was_called_before(seeds: list[int]) -> None:
    function = step()
    interpreter = Interpreter(function, "cpu", apply)
    for seed in seeds:
        inputs, state = arguments(seed)
        before = bits(inputs), bits(state)
        results = interpreter(inputs, state)
        assert list(map(bits, results)) == list(map(bits, reference.call(function, inputs, state)))
        assert (bits(inputs), bits(state)) == before
    assert (interpreter.function, interpreter.device) == (function, "cpu")


def test_each_constant_is_made_once() -> None:
    made: list[Array] = []

    def constant(array: Array) -> Array:
        made.append(array)
        return -array

    x = G.variable("x", (2,))
    function = G.Function({"x": x}, {"y": x + np.asarray([1, 2], "float32")})
    interpreter = Interpreter(function, "cpu", apply, constant=constant)
    for _ in range(2):
        outputs, _ = interpreter({"x": np.zeros(2, "float32")}, {})
        assert outputs["y"].tolist() == [-1, -2]
    assert [array.tolist() for array in made] == [[1, 2]]


@pytest.mark.parametrize(
    ("name", "array", "error"),
    [
        ("x", np.zeros((3, 3), "float32"), ShapeError),
        ("x", np.zeros((3, 2)), ArgumentTypeError),
        ("rows", np.asarray([0, 3], "int32"), ArgumentError),
        ("a", np.zeros((2,), "float32"), ShapeError),
    ],
)
def test_what_does_not_fit_is_refused_before_the_first_node(
    name: str, array: Array, error: type[Exception]
) -> None:
    def never(node: G.Tensor, *operands: Array) -> Array:
        raise AssertionError("a node was computed")

    inputs, state = arguments(0)
    (inputs if name in inputs else state)[name] = array
    with pytest.raises(error, match=rf"^{name}\b"):
        Interpreter(step(), "cpu", never)(inputs, state)


def test_indices_are_looked_at_on_the_host() -> None:
    class Foreign:
        """An array of a library that NumPy can not read."""

        shape, dtype = (2,), "int32"

        def __array__(self, *_: object, **__: object) -> Any:
            raise AssertionError("NumPy was asked to read it")

    inputs, state = arguments(0)
    interpreter = Interpreter(
        step(), "cpu", apply, to_host=lambda array: np.asarray([0, 9], "int32") if array is rows else array
    )
    rows = Foreign()
    with pytest.raises(ArgumentError, match="rows has indices from 0 to 9"):
        interpreter({**inputs, "rows": rows}, state)


def test_traced_arrays_are_not_looked_at() -> None:
    """A framework's tracer has no values, and its dtype may be no graph dtype's name."""
    x = G.variable("x", ())
    interpreter = Interpreter(G.Function({"x": x}, {"y": x * x}), "cpu", lambda node, *xs: ("mul", *xs))
    assert interpreter.evaluate({"x": "traced"}, {}) == ({"y": ("mul", "traced", "traced")}, {})


def test_an_error_of_a_primitive_says_of_which_node() -> None:
    def fail(node: G.Tensor, *operands: Array) -> Array:
        raise ZeroDivisionError("of the framework")

    x = G.variable("x", (2, 3))
    interpreter = Interpreter(G.Function({"x": x}, {"y": x.sum(0)}), "cpu", fail)
    with pytest.raises(ZeroDivisionError) as caught:
        interpreter({"x": np.zeros((2, 3), "float32")}, {})
    (note,) = caught.value.__notes__
    assert note == (
        "in <Tensor reduce_sum float32[3]> of [<Tensor variable 'x' float32[2, 3]>], "
        "attributes {'axes': (0,)}"
    )
