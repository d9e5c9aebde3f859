"""Batch normalisation against the formulas of its paper, written directly in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import graph as G
from isograd.errors import ArgumentError, ArgumentTypeError, ShapeError
from isograd.graph.reference import evaluate
from isograd.layers import BatchNorm

UNIT = 2.0**-53


@pytest.mark.parametrize("mode", ["train", "evaluate"])
@given(rows=st.integers(1, 4), shape=st.sampled_from([(3,), (2, 3, 2)]), seed=st.integers(0, 1000))
def test_output_and_running_statistics_are_those_of_the_paper(
    mode: str, rows: int, shape: tuple[int, ...], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    layer, channels = BatchNorm(momentum=0.25), (shape[0],)
    names = ("weight", "bias", "running_mean", "running_variance")
    values = {name: rng.uniform(0.5, 2, channels) for name in names}
    x = rng.standard_normal((rows, *shape))
    v = {name: G.variable(name, channels, "float64") for name in names}
    inputs = (G.variable("x", x.shape, "float64"),)
    (y,), new = layer.build(inputs, v, v, mode, {})  # type: ignore[arg-type]
    found = evaluate([y, *new.values()], {"x": x, **values})
    axes = (0, *range(2, x.ndim))
    mean, variance = x.mean(axis=axes), x.var(axis=axes)
    n = x.size // shape[0]
    expected = {}
    if mode == "train":
        expected["running_mean"] = 0.75 * values["running_mean"] + 0.25 * mean
        if n > 1:
            unbiased = x.var(axis=axes, ddof=1)
            expected["running_variance"] = 0.75 * values["running_variance"] + 0.25 * unbiased
    else:
        mean, variance = values["running_mean"], values["running_variance"]
    assert new.keys() == expected.keys()
    wide = (1, -1, *(1,) * (x.ndim - 2))
    normal = (x - mean.reshape(wide)) / np.sqrt(variance + 1e-5).reshape(wide)
    wanted = normal * values["weight"].reshape(wide) + values["bias"].reshape(wide)
    mean_error, variance_error = statistics_errors(abs(x).max(axis=axes), n)
    errors = {"running_mean": mean_error, "running_variance": variance_error * n / max(n - 1, 1)}
    for array, (name, value) in zip(found[1:], expected.items(), strict=True):
        # A quarter of the batch's error, and four roundings of numbers no larger than the result.
        assert np.all(abs(array - value) <= 2 * (0.25 * errors[name] + 4 * UNIT * (abs(value) + 2))), name
    if mode == "evaluate":
        mean_error, variance_error = np.zeros(channels), np.zeros(channels)
    centred = abs(x - mean.reshape(wide))
    deviation = np.sqrt(variance + 1e-5).reshape(wide)
    # The derivatives of centred / sqrt(variance + epsilon) times the errors of both; then seven roundings
    # of the product with the weight and of the sum with the bias.
    inherited = (mean_error.reshape(wide) + 2 * UNIT * (centred + abs(x))) / deviation
    inherited = inherited + centred * variance_error.reshape(wide) / (2 * deviation**3)
    scaled = abs(values["weight"]).reshape(wide)
    rounded = 7 * UNIT * (centred / deviation * scaled + abs(values["bias"]).reshape(wide))
    assert np.all(abs(found[0] - wanted) <= 2 * (inherited * scaled + rounded))


def statistics_errors(largest: Any, n: int) -> tuple[Any, Any]:
    """Bounds for mean and variance of n numbers up to `largest`, in each of two computations.

    A mean has n roundings of partial sums (Higham, "Accuracy and stability of numerical algorithms", 2002,
    section 4.2), a variance those of n squares, each up to (2 largest)^2 with twice the relative error of its
    root; one more rounding in each is for what is of second order.
    """
    mean = (n + 1) * UNIT * largest
    centred = mean + 2 * UNIT * largest
    return mean, 4 * largest * centred + (n + 3) * UNIT * (2 * largest) ** 2


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: BatchNorm(momentum=0), ArgumentError, r"BatchNorm: momentum is 0.0; expected .* \(0, 1\]"),
        (lambda: BatchNorm(momentum=1.5), ArgumentError, "momentum is 1.5"),
        (lambda: BatchNorm(momentum=float("nan")), ArgumentError, "momentum is nan"),
        (lambda: BatchNorm(momentum="much"), ArgumentTypeError, "momentum is 'much'"),  # type: ignore[arg-type]
        (lambda: BatchNorm(epsilon=0), ArgumentError, "epsilon is 0.0; expected at least"),
        (lambda: BatchNorm(epsilon=1e-40), ArgumentError, "epsilon is 1e-40"),
        (lambda: BatchNorm(epsilon=True), ArgumentTypeError, "epsilon is True"),
        (lambda: BatchNorm().output_shape(()), ShapeError, r"the input has shape \(\)"),
    ],
)
def test_bad_fields_and_inputs_are_refused_by_name(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
