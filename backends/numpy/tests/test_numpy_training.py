"""Whole training runs on this backend: stopping and going on changes no bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isograd import Callback, Convolution, ConvPool, Dataset, FullyConnected, MaxPool, Network, Softmax
from isograd_numpy.backend import NumpyBackend

BACKEND = NumpyBackend()
EXAMPLES, BATCH, EPOCHS = 23, 5, 2
STEPS = -(-EXAMPLES // BATCH)


def digits() -> Dataset:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (EXAMPLES, 1, 12, 12)).astype(np.uint8)
    return Dataset(images, generator.integers(0, 4, EXAMPLES), scale=1 / 256)


def network() -> Network:
    """Both convolution strategies, overlapping pooling and dropout."""
    layers = [
        ConvPool(12, window=3, activation="relu"),
        Convolution(5, window=3, padding="same", activation="tanh"),
        MaxPool(window=3, stride=1),
        FullyConnected(6, p_dropout=0.25),
        Softmax(4, p_dropout=0.5, weight_init="n_in"),
    ]
    return Network(layers, (1, 12, 12), seed=3)


def train(net: Network, data: Dataset, **options: Any) -> None:
    net.SGD(data, EPOCHS, BATCH, 0.1, lmbda=0.1, momentum=0.5, nesterov=True, backend=BACKEND, **options)


def bits(net: Network) -> dict[str, bytes]:
    return {path: array.tobytes() for path, array in net.parameters.items()}


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stop=st.integers(1, EPOCHS * STEPS - 1))
def test_a_run_stopped_anywhere_and_resumed_from_its_file_has_the_same_bits(
    stop: int, tmp_path: Path
) -> None:
    data, whole, first = digits(), network(), network()
    train(whole, data)
    path = tmp_path / "run.safetensors"
    train(first, data, max_steps=stop, checkpoint=path)
    second = Network.load(path)
    train(second, data, resume=True)
    assert bits(second) == bits(whole)
    assert bits(second) != bits(first)


@settings(max_examples=5)
@given(every=st.integers(1, 4))
def test_where_steps_are_cut_into_chunks_changes_no_bit(every: int) -> None:
    class Often(Callback):
        def __init__(self) -> None:
            self.every = every

    data, plain, cut = digits(), network(), network()
    train(plain, data)
    train(cut, data, callbacks=[Often()])
    assert bits(plain) == bits(cut)


def test_a_network_learns_in_which_quarter_of_an_image_the_spot_is() -> None:
    labels = np.arange(40) % 4
    images = np.zeros((40, 1, 12, 12), np.float32)
    for image, label in zip(images, labels, strict=True):
        image[0, 6 * (label // 2) :, 6 * (label % 2) :][1:4, 2:5] = 1
    data = Dataset(images, labels)
    layers = [ConvPool(4, window=3, activation="relu"), FullyConnected(20, activation="tanh"), Softmax(4)]
    net = Network(layers, (1, 12, 12), init="n_in")
    history = net.SGD(data, 20, 4, 0.1, momentum=0.5, backend=BACKEND)
    assert history.epochs[-1].cost < history.epochs[0].cost
    assert net.accuracy(data, backend=BACKEND) == 1
