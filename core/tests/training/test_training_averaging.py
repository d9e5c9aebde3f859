"""Averages of the weights: their formula, and everywhere that they stand in for the weights."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isograd.data import Dataset
from isograd.errors import NonFiniteError
from isograd.layers import Activation, BatchNorm, FullyConnected, Softmax
from isograd.network import Network
from isograd.testing import ReferenceBackend
from isograd.training import Callback, Progress, draws

Make = Callable[..., Any]
Arrays = dict[str, npt.NDArray[Any]]

U = 2.0**-53


def make(seed: int = 0) -> Network:
    """A network with layer state, in float64."""
    layers = [FullyConnected(3, "linear"), BatchNorm(), Activation("sigmoid"), Softmax(3)]
    return Network(layers, (4,), seed, dtype="float64", init="n_in")


def arrays_of(network: Network) -> Arrays:
    return network.parameters | network.state


def bits(arrays: Arrays) -> dict[str, bytes]:
    return {path: array.tobytes() for path, array in arrays.items()}


def trained(network: Network) -> Arrays:
    """What the run itself has gone on with, and its averages, as a checkpoint would hold them."""
    assert network.training is not None
    return network.training.arrays


class Watch(Callback):
    """Keeps what callbacks see after each step."""

    every = 1

    def __init__(self) -> None:
        self.seen: list[Arrays] = []

    def on_chunk(self, progress: Progress) -> None:
        self.seen.append({path: a.copy() for path, a in arrays_of(progress.network).items()})


@settings(max_examples=15)
@given(
    averaging=st.floats(0, 1, exclude_min=True, exclude_max=True),
    momentum=st.sampled_from([0.0, 0.5]),
    rows=st.integers(2, 7),
)
def test_an_average_moves_by_its_share_of_the_distance_to_each_new_value(
    backend: ReferenceBackend, make_data: Make, averaging: float, momentum: float, rows: int
) -> None:
    """The layers' state too, also in a step of a single row, which leaves the running variance alone."""
    network, data = make(), make_data(rows)
    average, steps = arrays_of(make()), -(-rows // 2)
    for step in range(2 * steps):
        network.SGD(
            data, 2, 2, 0.5, momentum=momentum, averaging=averaging,
            max_steps=1, resume=step > 0, backend=backend,
        )  # fmt: skip
        now = trained(network)
        assert bits(arrays_of(network)) == bits({path: now[f"average/{path}"] for path in average})
        for path, a in average.items():
            distance = now[path] - a
            expected = a + (1 - averaging) * distance
            # One rounding each of 1 - d, of the distance, of the product and of the sum; both ways.
            bound = 2 * U * (4 * np.abs((1 - averaging) * distance) + np.abs(expected))
            assert np.all(np.abs(now[f"average/{path}"] - expected) <= bound)
        average = {path: now[f"average/{path}"] for path in average}


@settings(max_examples=8)
@given(averaging=st.floats(0, 1, exclude_max=True), p_dropout=st.sampled_from([0.0, 0.5]))
def test_averaging_changes_nothing_of_what_is_trained(
    backend: ReferenceBackend, make_data: Make, make_network: Make, averaging: float, p_dropout: float
) -> None:
    plain, averaged = make_network(p_dropout), make_network(p_dropout)
    costs = [
        [record.cost for record in network.SGD(make_data(7), 2, 3, 0.5, **options, backend=backend).epochs]
        for network, options in ((plain, {}), (averaged, {"averaging": averaging}))
    ]
    assert costs[0] == costs[1]
    own = trained(averaged)
    assert bits(plain.parameters) == bits({path: own[path] for path in plain.parameters})
    assert any(name.startswith("average/") for name in own) == (averaging > 0)


def test_what_is_evaluated_reported_and_kept_are_the_averages(
    backend: ReferenceBackend, make_data: Make
) -> None:
    network, watch, validation = make(), Watch(), make_data(9, 1)
    history = network.SGD(
        make_data(8), 5, 3, 2.0, validation, make_data(6, 2),
        averaging=0.8, callbacks=[watch], backend=backend,
    )  # fmt: skip
    assert network.training is not None
    assert network.training.best is not None
    other = make()
    for record, seen in zip(history.epochs, watch.seen[2::3], strict=True):
        other.adopt(seen)
        assert record.validation_accuracy == other.accuracy(validation, backend=backend)
        assert record.validation_cost == other.cost(validation, backend=backend)
        if record.epoch == history.best_epoch:
            assert bits(network.training.best) == bits(seen)
            assert record.test_accuracy == other.accuracy(make_data(6, 2), backend=backend)
    assert bits(arrays_of(network)) == bits(watch.seen[-1])
    assert bits(arrays_of(network)) != bits({path: trained(network)[path] for path in arrays_of(network)})


def test_early_stopping_hands_back_the_averages_of_the_best_epoch(
    backend: ReferenceBackend, make_data: Make
) -> None:
    network, watch = make(), Watch()
    history = network.SGD(
        make_data(8), 30, 4, 3.0, make_data(5, 1),
        averaging=0.5, early_stopping=2, callbacks=[watch], backend=backend,
    )  # fmt: skip
    assert history.stopped == "early stopping"
    assert history.best_epoch is not None
    assert bits(arrays_of(network)) == bits(watch.seen[1::2][history.best_epoch])


class Interrupt(Watch):
    """Ctrl-C after the fourth step."""

    def on_chunk(self, progress: Progress) -> None:
        super().on_chunk(progress)
        if len(self.seen) == 4:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("validated", [False, True])
def test_an_interrupted_run_has_averages_and_goes_on_from_what_it_trained(
    backend: ReferenceBackend, make_data: Make, tmp_path: Path, validated: bool
) -> None:
    path, watch = tmp_path / "run", Interrupt()
    whole, network = make(), make()
    arguments: dict[str, Any] = {
        "training_data": make_data(8), "epochs": 3, "mini_batch_size": 3, "eta": 1.0, "averaging": 0.9,
        "validation_data": make_data(6, 1) if validated else None, "backend": backend,
    }  # fmt: skip
    whole.SGD(**arguments)
    history = network.SGD(**arguments, checkpoint=path, callbacks=[watch])
    assert history.stopped == "interrupted"
    assert bits(arrays_of(network)) == bits(watch.seen[2 if validated else 3])
    loaded = Network.load(path)
    assert bits(arrays_of(loaded)) == bits(watch.seen[3])
    for resumed in (loaded, network):
        resumed.SGD(**arguments, resume=True)
        assert bits(arrays_of(resumed)) == bits(arrays_of(whole))
        assert bits(trained(resumed)) == bits(trained(whole))


def test_after_a_step_that_is_not_finite_the_network_has_the_averages_from_before_it(
    backend: ReferenceBackend, make_data: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draws, "CHUNK_STEPS", 1)
    inputs = make_data(6).inputs.copy()
    inputs[4] = 1e200
    network, expected = make(), make()
    arguments: dict[str, Any] = {"shuffle": False, "averaging": 0.5, "backend": backend}
    expected.SGD(Dataset(inputs, make_data(6).labels), 1, 2, 0.5, **arguments, max_steps=2)
    with pytest.raises(NonFiniteError) as raised:
        network.SGD(Dataset(inputs, make_data(6).labels), 1, 2, 0.5, **arguments)
    assert raised.value.step == 2
    assert network.training is None
    assert bits(arrays_of(network)) == bits(arrays_of(expected))


def test_files_hold_the_averages_as_the_network_and_beside_them_what_was_trained(
    backend: ReferenceBackend, make_data: Make, open_file: Make, tmp_path: Path
) -> None:
    run, saved, network = tmp_path / "run", tmp_path / "saved", make()
    network.SGD(make_data(8), 2, 3, 1.0, averaging=0.9, checkpoint=run, backend=backend)
    network.save(saved)
    other = make(seed=1)
    other.load_parameters(run)
    for loaded in (Network.load(run), Network.load(saved), other):
        assert bits(arrays_of(loaded)) == bits(arrays_of(network))
    _, arrays = open_file(run)
    assert bits(arrays) == bits(trained(network))
    assert set(open_file(saved)[1]) == set(arrays_of(network))


def test_another_run_without_resuming_begins_with_the_averages(
    backend: ReferenceBackend, make_data: Make
) -> None:
    network, copy = make(), make()
    network.SGD(make_data(8), 1, 3, 1.0, averaging=0.9, backend=backend)
    copy.adopt(arrays_of(network))
    for each in (network, copy):
        each.SGD(make_data(8), 1, 3, 1.0, averaging=0.9, backend=backend)
    assert bits(trained(network)) == bits(trained(copy))
