"""A NaN or an infinity ends training with an error that says where it came from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isograd.data import Dataset
from isograd.errors import NonFiniteError
from isograd.graph import Tensor, sqrt
from isograd.layers import Activation, Flatten, FullyConnected, Softmax
from isograd.network import Network
from isograd.testing import ReferenceBackend
from isograd.training import Callback, ExponentialDecay, Progress, draws

Make = Callable[..., Any]


@pytest.fixture(autouse=True, scope="module")
def short_chunks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draws, "CHUNK_STEPS", 4)
        yield


def all_finite(network: Network) -> bool:
    return all(bool(np.isfinite(array).all()) for array in network.parameters.values())


@settings(max_examples=15)
@given(bad=st.integers(0, 10), momentum=st.sampled_from([0.0, 0.5]))
def test_the_error_names_the_step_and_the_layer_and_the_chunks_start_is_kept(
    backend: ReferenceBackend, make_data: Make, bad: int, momentum: float
) -> None:
    # Row `bad` overflows float32 in the second layer: 1e20 * 1e20.
    inputs = np.full((11, 2), 0.5, np.float32)
    inputs[bad] = 1e20
    data = Dataset(inputs, np.zeros(11, np.int32))
    layers = [
        FullyConnected(2, "linear", weight_init="zeros"),
        FullyConnected(2, "linear", name="middle"),
        Softmax(2),
    ]
    network = Network(layers, (2,), 3)
    network.parameters["0.weight"][:] = np.eye(2)
    network.parameters["middle.weight"][:] = 1e20
    done = [0]

    class Watch(Callback):
        def on_chunk(self, progress: Progress) -> None:
            done.append(progress.step)

    expected = {path: array.copy() for path, array in network.parameters.items()}
    reached = bad - bad % 4
    with pytest.raises(NonFiniteError, match=f"epoch 0, step {bad}: the output of layer middle") as raised:
        network.SGD(data, 1, 1, 1e-30, shuffle=False, momentum=momentum, callbacks=[Watch()], backend=backend)
    assert (raised.value.epoch, raised.value.step, raised.value.layer) == (0, bad, "middle")
    assert f"from before step {reached}" in str(raised.value)
    assert done[-1] == reached
    assert all_finite(network)
    if reached == 0:
        assert all(np.array_equal(network.parameters[path], array) for path, array in expected.items())
    assert network.training is None


def square_root(z: Tensor) -> Tensor:
    return sqrt(z * z)  # its derivative is 0 / 0 at 0


@given(rows=st.integers(1, 4))
def test_where_only_a_gradient_is_not_finite_its_layer_is_named(backend: ReferenceBackend, rows: int) -> None:
    layers = [
        Flatten(),
        FullyConnected(2, "linear"),
        Activation(square_root, name="root"),
        FullyConnected(3),
        Softmax(2, weight_init="n_in"),
    ]
    network = Network(layers, (2,))
    network.parameters["1.weight"][:] = 0.0
    network.parameters["1.bias"][:] = 0.0
    before = {path: array.copy() for path, array in network.parameters.items()}
    data = Dataset(np.ones((rows, 2), np.float32), np.zeros(rows, np.int32))
    with pytest.raises(NonFiniteError, match=r"the gradient of layer root \(Activation\)") as raised:
        network.SGD(data, 1, rows, 0.1, backend=backend)
    assert (raised.value.epoch, raised.value.step, raised.value.layer) == (0, 0, "root")
    assert all(np.array_equal(network.parameters[path], array) for path, array in before.items())


def test_where_only_the_cost_is_not_finite_the_last_layer_is_named(backend: ReferenceBackend) -> None:
    network = Network([Softmax(2)], (1,))
    network.parameters["0.weight"][:] = [[3e38, -3e38]]
    data = Dataset(np.ones((1, 1), np.float32), np.ones(1, np.int32))
    with pytest.raises(NonFiniteError, match="the cost at the output of layer 0") as raised:
        network.SGD(data, 1, 1, 0.1, backend=backend)
    assert raised.value.layer == "0"


def test_where_only_the_new_parameters_are_not_finite_their_layer_is_named(backend: ReferenceBackend) -> None:
    # The softmax begins at zero: its gradient is 1e10 / 2, times eta more than float32 holds.
    network = Network([FullyConnected(1, "linear", weight_init="zeros", bias_init="zeros"), Softmax(2)], (1,))
    network.parameters["0.weight"][:] = 1.0
    data = Dataset(np.full((2, 1), 1e10, np.float32), np.zeros(2, np.int32))
    with pytest.raises(NonFiniteError, match="epoch 0, step 0: the update of layer 1") as raised:
        network.SGD(data, 2, 2, 1e30, backend=backend)
    assert (raised.value.epoch, raised.value.step, raised.value.layer) == (0, 0, "1")
    assert not network.parameters["1.weight"].any()


def test_a_later_epoch_is_named_and_the_checkpoint_before_it_stays(
    backend: ReferenceBackend, make_data: Make, make_network: Make, tmp_path: Path
) -> None:
    network = make_network(dtype="float32")
    # eta is 0.1 in epoch 0 and 1e38 in epoch 1.
    with pytest.raises(NonFiniteError) as raised:
        network.SGD(
            make_data(7),
            3,
            2,
            ExponentialDecay(0.1, 1e39),
            lmbda=9.0,
            checkpoint=tmp_path / "run",
            backend=backend,
        )
    assert raised.value.epoch == 1
    assert all_finite(network)
    loaded = Network.load(tmp_path / "run")
    assert loaded.training is not None
    assert (loaded.training.epoch, loaded.training.step) == (1, 0)
    for path, array in network.parameters.items():
        assert np.array_equal(loaded.parameters[path], array)


@settings(max_examples=10)
@given(seed=st.integers(0, 1000), eta=st.sampled_from([1e3, 1e5, 1e9]), momentum=st.sampled_from([0.0, 0.9]))
def test_what_diverges_is_found_at_the_same_step_whatever_the_chunks(
    backend: ReferenceBackend, make_data: Make, seed: int, eta: float, momentum: float
) -> None:
    found = []
    for steps in (1, 8):
        layers = [FullyConnected(3, "linear"), FullyConnected(3, "linear"), Softmax(3, weight_init="n_in")]
        network = Network(layers, (4,), seed)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(draws, "CHUNK_STEPS", steps)
            with pytest.raises(NonFiniteError) as raised:
                network.SGD(make_data(17, seed), 9, 2, eta, momentum=momentum, backend=backend)
        found.append((raised.value.epoch, raised.value.step, raised.value.layer))
    assert found[0] == found[1]
    assert found[0][:2] > (0, 0)


class Moody(ReferenceBackend):
    """Gives a NaN as the cost of a chunk of several steps, and never again."""

    def run_steps(self, executable: Any, state: Any, resident: Any, per_step: Any, steps: int) -> Any:
        outputs, state = super().run_steps(executable, state, resident, per_step, steps)
        if "eta" in per_step and steps > 1:
            outputs["cost"][1] = math.nan
        return outputs, state


def test_what_a_second_run_does_not_reproduce_is_said_to_be_unknown(
    make_data: Make, make_network: Make
) -> None:
    with pytest.raises(NonFiniteError, match="did not reproduce") as raised:
        make_network().SGD(make_data(7), 1, 2, 0.1, backend=Moody())
    assert (raised.value.epoch, raised.value.step, raised.value.layer) == (0, 1, "unknown")
