"""What tests of training and evaluation by formula share: networks, data, and the check of a value.

The formulas are those of `isograd_conformance.contract`. Core's own graph is used for the tolerance alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from hypothesis import strategies as st

from isograd import Callback, Dataset, Network
from isograd.evaluation import CHUNK_ROWS, evaluation_function
from isograd.training import Progress
from isograd_conformance.bounds import Tracked, disagreement, track
from isograd_conformance.contract.steps import Evaluated
from isograd_conformance.strategies.networks import layer_lists
from isograd_conformance.subject import HostArray, Subject


def networks(subject: Subject) -> st.SearchStrategy[Network]:
    """Networks of the widest floating-point type that is declared, where bounds are narrowest."""
    return st.builds(
        lambda drawn, seed: Network(drawn[0], drawn[1], seed, init="n_in", dtype=subject.floating[-1]),
        layer_lists(),
        st.integers(0, 2**64 - 1),
    )


def images(net: Network, number: int, salt: int = 0) -> Dataset:
    """Random images of bytes that fit the network, with labels."""
    rng = np.random.default_rng([net.seed, salt])
    pixels = rng.integers(0, 256, (number, *net.input_shape)).astype(np.uint8)
    return Dataset(pixels, rng.integers(0, net.output_shape[0], number), scale=1 / 256)


class Watch(Callback):
    """Keeps the cost of every chunk, and the network's arrays after it with the number of its last step."""

    def __init__(self) -> None:
        self.costs: list[float] = []
        self.arrays: list[tuple[int, dict[str, HostArray]]] = []

    def on_chunk(self, progress: Progress) -> None:
        self.costs.append(progress.cost)
        self.arrays.append((progress.step, progress.network.checked_arrays()))


def hold(found: Mapping[str, Any], wanted: Mapping[str, Any], errors: Mapping[str, HostArray]) -> None:
    """Fail where something is farther from the formula than twice its bound."""
    for name, value in wanted.items():
        array = np.asarray(found[name], np.float64)
        tracked = Tracked(np.asarray(value, np.float64), np.asarray(errors[name]))
        assert array.shape == tracked.value.shape, name
        problem = disagreement(array, tracked)
        assert problem is None, f"{name} is not what the contract says: {problem}"


def evaluation_errors(subject: Subject, net: Network, data: Dataset) -> dict[str, HostArray]:
    """The rounding bounds of the costs, probabilities and classes of a data set."""
    found: dict[str, list[HostArray]] = {"cost": [], "predicted": [], "class": []}
    for first in range(0, len(data), CHUNK_ROWS):
        rows = np.arange(first, min(first + CHUNK_ROWS, len(data)), dtype=np.int32)
        part = Dataset(data.inputs[rows], data.labels[rows], scale=data.scale)
        function = evaluation_function(net.architecture, part, len(rows), list(found))
        values = {**net.checked_arrays(), "inputs": part.inputs, "labels": part.labels, "rows": rows - first}
        tracked = track(list(function.outputs.values()), values, subject.arithmetic)
        for name, each in zip(function.outputs, tracked, strict=True):
            found[name].append(each.error)
    return {name: np.concatenate(parts) for name, parts in found.items()}


def hold_accuracy(found: float | None, wanted: Evaluated, data: Dataset, in_doubt: HostArray) -> None:
    """Fail unless an accuracy is the share of right classes; those in doubt may be right or wrong."""
    right = (wanted.classes == data.labels) & (in_doubt == 0)
    least = int(np.count_nonzero(right))
    possible = [(least + further) / len(data) for further in range(int(np.count_nonzero(in_doubt)) + 1)]
    assert found in possible
