"""On the CPU gradients of convolutions are products by filter rows: another order of the same sums."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import graph as G
from isograd_conformance.bounds import Arithmetic, agree
from isograd_conformance.profiles import examples
from isograd_jax.backend import JaxBackend
from isograd_jax.precision import in_double_precision
from isograd_jax.program import call_function

ARITHMETIC = Arithmetic.of(JaxBackend(), "cpu")


@in_double_precision
def outputs_of(function: G.Function, platform: str, values: dict[str, Any]) -> dict[str, Any]:
    call = call_function(function, platform)
    outputs, _ = call(tuple(values[name] for name in function.inputs), ())
    return {name: np.asarray(array) for name, array in zip(function.outputs, outputs, strict=True)}


@pytest.mark.parametrize("platform", ["cpu", "gpu"])  # how it is lowered there; it runs here
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(
    planes=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    extra=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    seed=st.integers(0, 999),
)
@examples(12)
def test_gradients_of_a_plain_convolution(
    platform: str, dtype: str, planes: tuple[int, int, int], kernel: Any, extra: Any, seed: int
) -> None:
    batch, ins, outs = planes
    x = G.variable("x", (batch, ins, kernel[0] + extra[0], kernel[1] + extra[1]), dtype)
    w = G.variable("w", (outs, ins, *kernel), dtype)
    g = G.variable("g", (batch, outs, extra[0] + 1, extra[1] + 1), dtype)
    outputs = {
        "dx": G.conv2d_dx(g, w, input_size=x.shape[2:]),
        "dw": G.conv2d_dw(x, g, filter_size=kernel),
    }
    rng = np.random.default_rng(seed)
    values = {t.name: rng.normal(size=t.shape).astype(dtype) for t in (x, w, g)}
    found = outputs_of(G.Function({"x": x, "w": w, "g": g}, outputs), platform, values)
    agree(found, outputs, values, ARITHMETIC)
