"""Two ways to compute one thing, both on the backend: they agree within the bounds of both."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from isograd import graph as G
from isograd.architecture import Architecture
from isograd_conformance.bounds import Tracked, disagreement, track
from isograd_conformance.checks import require
from isograd_conformance.profiles import SIMPLEST, examples
from isograd_conformance.strategies.arrays import SEEDS, normal
from isograd_conformance.strategies.laws import LAWS, Variables
from isograd_conformance.strategies.networks import layer_lists
from isograd_conformance.subject import HostArrays, Subject

pytestmark = pytest.mark.judges("metamorphic")

LEFT, RIGHT = "left of ", "right of "


def hold_equal(
    subject: Subject,
    sides: Mapping[str, tuple[G.Tensor, G.Tensor]],
    inputs: Mapping[str, G.Tensor],
    values: HostArrays,
) -> None:
    """Fail where two sides, computed in one function, are farther apart than twice the errors of both."""
    outputs = {LEFT + name: left for name, (left, _) in sides.items()}
    outputs |= {RIGHT + name: right for name, (_, right) in sides.items()}
    found = subject.call(subject.compile(G.Function(inputs, outputs)), values).outputs
    tracked = dict(zip(outputs, track(list(outputs.values()), values, subject.arithmetic), strict=True))
    for name in sides:
        left, right = found[LEFT + name], found[RIGHT + name]
        assert left.shape == right.shape
        error = tracked[LEFT + name].error + tracked[RIGHT + name].error
        problem = disagreement(left, Tracked(right, error))
        assert problem is None, f"{name} does not hold: {problem}"


@given(data=st.data(), seed=SEEDS)
@examples(1)
def test_every_law_holds(subject: Subject, data: st.DataObject, seed: int) -> None:
    assume(seed != SIMPLEST)
    require(subject, "int32", "bool")
    make = Variables(data.draw(st.sampled_from(subject.floating)))
    sides = {name: build(data.draw, make) for name, build in LAWS.items()}
    hold_equal(subject, sides, make.made, normal(seed, make.made))


@given(data=st.data(), seed=SEEDS, rows=st.integers(2, 4))
@examples(2)
def test_a_network_treats_every_row_alike(
    subject: Subject, data: st.DataObject, seed: int, rows: int
) -> None:
    """Rows in another order, or in two parts: the same outputs, and the same gradients in all."""
    assume(seed != SIMPLEST)
    require(subject, "int32", "bool")
    layers, shape = data.draw(layer_lists())
    architecture = Architecture(layers, shape, data.draw(st.sampled_from(subject.floating)))
    state, x = architecture.variables(), G.variable("x", (rows, *shape), architecture.dtype)
    labels, order = (G.variable(name, (rows,), "int32") for name in ("labels", "order"))

    def outputs(images: G.Tensor) -> G.Tensor:
        return architecture.forward(images, state, state, "evaluate", {})[0][-1]

    def gradients(images: G.Tensor, of: G.Tensor) -> G.Tensor:
        cost = G.log_likelihood(outputs(images), of).sum()
        return G.concat(*(g.reshape(g.size) for g in G.grad(cost, list(state.values()))), axis=0)

    cut = data.draw(st.integers(1, rows - 1))
    parts = [(x[:cut], labels[:cut]), (x[cut:], labels[cut:])]
    sides = {
        "outputs in another order": (G.gather(outputs(x), order), outputs(G.gather(x, order))),
        "outputs in parts": (outputs(x), G.concat(*(outputs(a) for a, _ in parts), axis=0)),
        "gradients in another order": (
            gradients(x, labels),
            gradients(G.gather(x, order), G.gather(labels, order)),
        ),
        "gradients in parts": (gradients(x, labels), gradients(*parts[0]) + gradients(*parts[1])),
    }
    inputs = {t.name: t for t in (x, labels, order, *state.values())}
    rng = np.random.default_rng(seed)
    values = {
        **normal(seed, inputs),
        "labels": rng.integers(0, architecture.output_shape[0], rows).astype("int32"),
        "order": rng.permutation(rows).astype("int32"),
    }
    for path in architecture.state:  # a variance among them has a square root
        values[path] = abs(values[path])
    hold_equal(subject, sides, inputs, values)
