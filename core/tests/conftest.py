"""Hypothesis profiles, a backend for who names none, and the check of a symbolic gradient by differences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, settings

from isograd import graph as G
from isograd import plugins
from isograd.errors import ArgumentError
from isograd.graph.reference import evaluate
from isograd.graph.tensor import topological
from isograd.plugins import BackendDescriptor
from isograd.testing import ReferenceBackend

# "ci" repeats the same examples, "thorough" draws new ones and more: pytest --hypothesis-profile=thorough.
# There is no deadline, because that would measure the machine.
settings.register_profile(
    "ci", deadline=None, derandomize=True, max_examples=25, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", settings.get_profile("ci"), derandomize=False, max_examples=500)
settings.load_profile("ci")


@pytest.fixture
def reference_by_default(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The reference backend is what is chosen where none is asked for, whatever is installed."""
    monkeypatch.delenv("ISOGRAD_BACKEND", raising=False)
    descriptor = BackendDescriptor(
        "reference", "for tests", ReferenceBackend, dtypes=("float32", "float64"), priority=10**6
    )
    with plugins.registered(descriptor):
        yield


@pytest.fixture(scope="session")
def check_gradient() -> Callable[..., None]:
    """check_gradient(y, wrt, values, rng): the gradient of a weighted sum of y, against differences."""
    return _check_gradient


def _check_gradient(
    y: G.Tensor, wrt: Sequence[G.Tensor], values: dict[str, np.ndarray], rng: np.random.Generator
) -> None:
    """d/dt cost(x + t v) by differences against <gradient, v>, for random weights of y and a random v.

    An operand that the cost does not depend on counts as having gradient 0, which the difference must
    confirm.
    """
    weights = quarters(rng, y.shape)
    cost = (y * weights.astype(y.dtype)).sum()
    assume(np.isfinite(evaluate([cost], values)[0]))  # an empty logsumexp is -inf
    direction = {t.name: quarters(rng, t.shape) for t in wrt}

    def along(t: np.ndarray) -> np.ndarray:
        moved = {name: values[name] + float(t) * v for name, v in direction.items()}
        return evaluate([cost], {**values, **moved}, precision="float64")[0]

    noise = rounding_bound(cost, values) * abs(weights).sum()
    expected, error = G.numerical_gradient(along, 0.0, noise=noise)
    computed, bound = 0.0, float(error)
    for t in wrt:
        gradient = gradient_or_none(cost, t)
        if gradient is None:
            continue
        assert (gradient.shape, gradient.dtype) == (t.shape, t.dtype)
        (found,) = evaluate([gradient], values, precision="float64")
        computed += float(np.sum(found * direction[t.name]))
        bound += rounding_bound(gradient, values) * float(abs(direction[t.name]).sum())
    assert abs(computed - float(expected)) <= bound


def gradient_or_none(cost: G.Tensor, wrt: G.Tensor) -> G.Tensor | None:
    try:
        return G.grad(cost, wrt)
    except ArgumentError:
        return None


def quarters(rng: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
    return np.asarray(rng.choice([-1.0, -0.75, -0.5, -0.25, 0.25, 0.5, 0.75, 1.0], size=shape))


def rounding_bound(tensor: G.Tensor, values: dict[str, np.ndarray]) -> float:
    """A bound on the rounding error of each element of `tensor`, computed in float64.

    An element of a node is a sum of at most k terms, k the size of its largest operand, and a term takes at
    most 8 roundings: its error is at most gamma_{k+8} times the largest sum of |terms| (Higham, "Accuracy and
    Stability of Numerical Algorithms", section 3.1). The square of the largest value stands for a sum of
    |terms| that exceeds its result, as well as for later nodes that magnify an error.
    """
    nodes = topological([tensor])
    found = [a[np.isfinite(a)] for a in evaluate(nodes, values, precision="float64")]  # an infinity is exact
    largest = max([2.0, *(float(abs(a).max()) for a in found if a.size and a.dtype.kind == "f")])
    roundings = sum(8 + max((x.size for x in node.inputs), default=0) for node in nodes)
    return roundings * 2.0**-53 * largest**2
