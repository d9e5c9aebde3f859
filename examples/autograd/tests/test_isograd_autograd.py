"""What is special to this backend; the suite, which `pytest` runs too, tests what is true of every one."""

import autograd.numpy
import numpy as np
import pytest
from autograd.core import primitive_vjps
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from isograd import choose_backend
from isograd import graph as G
from isograd_autograd.operations import OPERATIONS, Array

backend, device = choose_backend("autograd")


def test_the_table_has_an_entry_for_every_primitive_and_no_other() -> None:
    assert OPERATIONS.keys() == G.PRIMITIVES.keys()


def gradients(x: Array) -> dict[str, Array]:
    """y = tanh(x), its sum, and the gradient of that: native and symbolic. The state w takes y and is old."""
    variable, w = (G.variable(name, x.shape, x.dtype.name) for name in "xw")
    y = G.tanh(variable)
    outputs = {"cost": y.sum(), "y": y}
    function = G.Function({"x": variable}, outputs, {"w": w}, {"w": y})
    native, state = backend.compile_native_gradient(function, "cost", ["x"], device)({"x": x}, {"w": x})
    symbolic = G.Function({"x": variable}, {"symbolic": G.grad(y.sum(), variable)})
    return {**native, **state, **backend.compile(symbolic, device)({"x": x}, {})[0]}


@given(st.sampled_from(["float32", "float64"]), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0))
def test_what_comes_back_is_numpys_and_no_longer_traced(dtype: str, shape: tuple[int, ...]) -> None:
    found = gradients(np.ones(shape, dtype))
    assert {name: (type(array), array.dtype.name) for name, array in found.items()} == dict.fromkeys(
        ["cost", "y", "gradient/x", "w", "symbolic"], (np.ndarray, dtype)
    )


def test_the_native_gradient_goes_by_autograds_rules_and_the_symbolic_one_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = np.ones(2)
    before = gradients(x)
    monkeypatch.setitem(primitive_vjps, autograd.numpy.tanh, lambda *_: lambda g: (g * 7,))
    after = gradients(x)
    assert after["gradient/x"].tolist() == [7, 7]
    assert after["symbolic"].tolist() == before["symbolic"].tolist()
