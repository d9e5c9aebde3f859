"""Several steps of training against one bound: a right run is within it, one that goes astray is named."""

from __future__ import annotations

import numpy as np
import pytest

from isograd import BatchNorm, Dataset, FullyConnected, Network, Softmax
from isograd.testing import ReferenceBackend
from isograd_conformance.networks import StepPlan
from isograd_conformance.trajectory import hold_trajectory, trained_by_sgd


def network() -> Network:
    layers = [FullyConnected(3), BatchNorm(), Softmax(2, weight_init="n_in")]
    return Network(layers, (2,), init="n_in", dtype="float64")


def test_a_run_is_within_its_bound_and_a_rounding_in_single_precision_is_not() -> None:
    data = Dataset(np.random.default_rng(0).normal(size=(8, 2)), np.arange(8) % 2)
    plan = StepPlan(4, 0.5, lmbda=0.1, momentum=0.5)
    found = trained_by_sgd(network(), data, plan, 2, ReferenceBackend())
    assert len(found) == 4
    hold_trajectory(network(), data, plan, found)
    found[2] = {**found[2], "0.weight": found[2]["0.weight"].astype("float32").astype("float64")}
    with pytest.raises(AssertionError, match=r"step 2, 0.weight: \d of 6 elements are wrong"):
        hold_trajectory(network(), data, plan, found)
