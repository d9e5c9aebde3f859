"""Which rows, masks and learning rates the steps get; that how they are cut into chunks changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isograd import random
from isograd.data import Dataset
from isograd.layers import Dropout, FullyConnected, Softmax
from isograd.network import Network
from isograd.testing import ReferenceBackend
from isograd.training import Callback, ExponentialDecay, draws

Make = Callable[..., Any]


def same_bits(a: Network, b: Network) -> bool:
    return a.parameters.keys() == b.parameters.keys() and all(
        a.parameters[path].tobytes() == b.parameters[path].tobytes() for path in a.parameters
    )


@given(
    examples=st.integers(1, 20),
    mini_batch_size=st.integers(1, 20),
    shuffle=st.booleans(),
    drop_last=st.booleans(),
    seed=st.integers(0, 2**64 - 1),
)
def test_an_epoch_visits_the_examples_in_its_order_each_once(
    recording_backend: Make,
    make_data: Make,
    make_network: Make,
    examples: int,
    mini_batch_size: int,
    shuffle: bool,
    drop_last: bool,
    seed: int,
) -> None:
    size = min(mini_batch_size, examples)
    network, backend = make_network(seed=seed), recording_backend()
    network.SGD(make_data(examples), 2, size, 0.1, shuffle=shuffle, drop_last=drop_last, backend=backend)
    used = examples - examples % size if drop_last else examples
    visited = np.concatenate(backend.steps("rows"))
    for epoch in range(2):
        order = random.permutation(seed, epoch=epoch, size=examples) if shuffle else np.arange(examples)
        assert visited[epoch * used : (epoch + 1) * used].tolist() == order[:used].tolist()
    sizes = [len(rows) for rows in backend.steps("rows")]
    one_epoch = [size] * (examples // size) + ([used % size] if used % size else [])
    assert sizes == one_epoch * 2


@settings(max_examples=10)
@given(seed=st.integers(0, 2**64 - 1), p_dropout=st.sampled_from([0.25, 0.5]), size=st.integers(1, 7))
def test_each_step_has_the_masks_drawn_for_its_number(
    recording_backend: Make, make_data: Make, make_network: Make, seed: int, p_dropout: float, size: int
) -> None:
    network, backend = make_network(p_dropout, seed), recording_backend()
    network.SGD(make_data(7), 2, size, 0.1, backend=backend)
    steps = -(-7 // size)
    for layer, features in ((0, 4), (1, 3)):
        masks = backend.steps(f"mask/{layer}.dropout")
        assert len(masks) == 2 * steps
        for index, mask in enumerate(masks):
            epoch, step = divmod(index, steps)
            expected = random.keep_mask(
                seed,
                f"{layer}.dropout",
                shape=(len(mask), features),
                p_dropout=p_dropout,
                epoch=epoch,
                step=step,
            )
            assert mask.dtype == np.bool_
            assert np.array_equal(mask, expected)


def test_each_step_has_the_learning_rate_of_its_epoch(
    recording_backend: Make, make_data: Make, make_network: Make
) -> None:
    backend = recording_backend()
    schedule = ExponentialDecay(0.8, 0.5)
    history = make_network().SGD(make_data(5), 3, 2, schedule, backend=backend)
    assert [float(eta) for eta in backend.steps("eta")] == [0.8] * 3 + [0.4] * 3 + [0.2] * 3
    assert [record.eta for record in history.epochs] == [0.8, 0.4, 0.2]


class Every(Callback):
    def __init__(self, every: int) -> None:
        self.every = every


@settings(max_examples=8)
@given(chunk_steps=st.integers(1, 9), chunk_bytes=st.integers(1, 2000), every=st.integers(1, 9))
def test_where_an_epoch_is_cut_into_chunks_changes_no_bit(
    backend: ReferenceBackend,
    recording_backend: Make,
    make_data: Make,
    make_network: Make,
    chunk_steps: int,
    chunk_bytes: int,
    every: int,
) -> None:
    arguments = {"lmbda": 0.1, "momentum": 0.5}
    whole, cut = make_network(0.5), make_network(0.5)
    history = whole.SGD(make_data(17), 2, 2, 0.3, backend=backend, **arguments)
    recording = recording_backend()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draws, "CHUNK_STEPS", chunk_steps)
        patch.setattr(draws, "CHUNK_BYTES", chunk_bytes)
        again = cut.SGD(make_data(17), 2, 2, 0.3, callbacks=[Every(every)], backend=recording, **arguments)
    assert same_bits(whole, cut)
    assert [r.cost for r in again.epochs] == [r.cost for r in history.epochs]
    lengths = [len(chunk["rows"]) for chunk in recording.chunks]
    assert max(lengths) <= min(chunk_steps, every)
    step_bytes = 2 * (4 + 4 + 3)
    assert max(lengths) <= max(1, chunk_bytes // step_bytes)
    ends = np.cumsum(lengths)
    assert set(range(every, 19, every)) <= set(ends.tolist())


@given(examples=st.integers(1, 30), size=st.integers(1, 30))
def test_training_compiles_at_most_a_full_and_a_partial_step(
    recording_backend: Make, make_data: Make, make_network: Make, examples: int, size: int
) -> None:
    size = min(size, examples)
    backend = recording_backend()
    make_network().SGD(make_data(examples), 2, size, 0.1, backend=backend)
    rows = sorted(f.inputs["rows"].shape[0] for f in backend.compiled if "eta" in f.inputs)
    assert rows == sorted({size, examples % size} - {0})


@given(seed=st.integers(0, 1000), dtype=st.sampled_from(["float32", "float64"]))
def test_evaluation_scales_the_weighted_input_by_what_training_keeps(
    backend: ReferenceBackend, make_data: Make, seed: int, dtype: str
) -> None:
    # 1 - p = 1/2 is exact, so that halved weights must give the same bits.
    data = make_data(9, seed)
    dropping = Network(
        [FullyConnected(3, p_dropout=0.5), Softmax(3, p_dropout=0.5, weight_init="n_in")],
        (4,),
        seed,
        dtype=dtype,
    )
    plain = Network([FullyConnected(3), Softmax(3)], (4,), seed, dtype=dtype)
    plain.adopt({path: a / 2 if path.endswith("weight") else a for path, a in dropping.parameters.items()})
    expected = plain.predict_proba(data, backend=backend)
    assert dropping.predict_proba(data, backend=backend).tobytes() == expected.tobytes()


def test_inverted_dropout_leaves_evaluation_alone(backend: ReferenceBackend, make_data: Make) -> None:
    dropping = Network([Dropout(0.5, inverted=True), FullyConnected(3), Softmax(3)], (4,))
    plain = Network([Dropout(0.0), FullyConnected(3), Softmax(3)], (4,))
    data = make_data(9)
    assert np.array_equal(
        dropping.predict_proba(data, backend=backend), plain.predict_proba(data, backend=backend)
    )


def test_a_whole_data_set_of_bytes_is_scaled_in_the_graph_as_on_the_host(
    recording_backend: Make, make_data: Make
) -> None:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (12, 4), dtype=np.uint8)
    labels = generator.integers(0, 3, 12)
    networks = [Network([FullyConnected(3), Softmax(3)], (4,)) for _ in range(2)]
    backend = recording_backend()
    networks[0].SGD(Dataset(images, labels, scale=1 / 256), 2, 5, 0.5, backend=backend)
    networks[1].SGD((images / np.float32(256), labels), 2, 5, 0.5, backend=backend)
    assert same_bits(*networks)
    assert {f.inputs["inputs"].dtype for f in backend.compiled} == {"uint8", "float32"}


def test_networks_train_in_threads_as_they_do_alone(
    backend: ReferenceBackend, make_data: Make, make_network: Make
) -> None:
    def trained(seed: int) -> Network:
        network: Network = make_network(0.5, seed)
        network.SGD(make_data(20, seed), 3, 3, 0.5, make_data(10, seed), momentum=0.5, backend=backend)
        return network

    alone = [trained(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(trained, range(4)))
    assert all(same_bits(a, b) for a, b in zip(alone, together, strict=True))
    assert not same_bits(together[0], together[1])


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_training_lowers_the_cost_and_learns(
    backend: ReferenceBackend, make_data: Make, make_network: Make, momentum: float
) -> None:
    data = make_data(60)
    network = make_network()
    history = network.SGD(data, 10, 5, 0.3, data, momentum=momentum, backend=backend)
    assert history.epochs[-1].cost < 0.8 * history.epochs[0].cost
    assert network.accuracy(data, backend=backend) == history.epochs[-1].validation_accuracy
    assert history.best_validation_accuracy is not None
    assert history.best_validation_accuracy > np.bincount(data.labels).max() / len(data)
