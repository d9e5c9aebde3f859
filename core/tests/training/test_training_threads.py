"""Runs in several threads of one process give the bits that they give one after the other."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isograd.backend import Backend
from isograd.data import Dataset
from isograd.layers import BatchNorm, ConvPool, FullyConnected, Softmax
from isograd.network import Network
from isograd.testing import ReferenceBackend
from isograd.training import CSVLog, Diagnostics, Elastic, OnePixelShifts

THREADS = 3


@pytest.fixture(autouse=True)
def eager_switches() -> Iterator[None]:
    """Threads take turns a hundred times as often as usual: what they share shows."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-5)
    yield
    sys.setswitchinterval(before)


def trained(seed: int, data: Dataset, backend: Backend, folder: Path) -> tuple[Any, ...]:
    """All that is deterministic of a run: parameters, state, history, log; everything random is drawn."""
    layers = [ConvPool(2, window=3), FullyConnected(4, p_dropout=0.5), BatchNorm(), Softmax(3)]
    network = Network(layers, (1, 6, 6), seed, init="n_in", dtype="float64")
    history = network.SGD(
        *(data, 2, 4, 0.1, data),
        momentum=0.5,
        averaging=0.9,
        augmentation=[OnePixelShifts(), Elastic(1.0, 2.0)],
        callbacks=[Diagnostics(data, 5, seed), CSVLog(folder / f"{seed}.csv")],
        checkpoint=folder / f"{seed}.safetensors",
        backend=backend,
    )
    assert network.training is not None
    epochs = [
        {
            name: value
            for name, value in record.to_data().items()
            if name not in ("seconds", "images_per_second")
        }
        for record in history.epochs
    ]
    arrays = {path: array.tobytes() for path, array in network.training.arrays.items()}
    saved = Network.load(folder / f"{seed}.safetensors").checked_arrays()
    rows = len((folder / f"{seed}.csv").read_text().splitlines())
    return json.dumps(epochs), arrays, {path: array.tobytes() for path, array in saved.items()}, rows


@pytest.fixture(scope="module")
def images() -> Dataset:
    generator = np.random.default_rng(0)
    return Dataset(generator.uniform(0, 1, (10, 1, 6, 6)), np.arange(10) % 3)


def in_threads(work: Callable[[int], Any]) -> list[Any]:
    """What `work` gives for each number, all begun at the same time."""
    barrier = threading.Barrier(THREADS)

    def started(number: int) -> Any:
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(started, range(THREADS)))


@pytest.mark.parametrize("shared", [True, False], ids=["one backend", "a backend each"])
def test_runs_in_threads_give_the_bits_of_runs_one_after_the_other(
    images: Dataset, tmp_path: Path, shared: bool
) -> None:
    backends = [ReferenceBackend()] * THREADS if shared else [ReferenceBackend() for _ in range(THREADS)]

    def run(seed: int) -> tuple[Any, ...]:
        return trained(seed, images, backends[seed], tmp_path)

    together = in_threads(run)
    assert together == [run(seed) for seed in range(THREADS)]


def test_runs_that_share_a_backend_compile_each_function_once(
    recording_backend: Callable[..., Any], images: Dataset, tmp_path: Path
) -> None:
    shared, alone = recording_backend(), recording_backend()
    in_threads(lambda seed: trained(seed, images, shared, tmp_path))
    trained(0, images, alone, tmp_path)
    digests = [function.digest for function in shared.compiled]
    assert len(set(digests)) == len(digests)
    assert set(digests) == {function.digest for function in alone.compiled}


def test_a_run_in_another_thread_leaves_ctrl_c_to_the_main_one(images: Dataset, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[Any] = []

    def look(record: object) -> None:
        seen.append(signal.getsignal(signal.SIGINT))

    def run(seed: int) -> None:
        Network([Softmax(3)], (36,), seed).SGD(
            images.reshape((36,)), 1, 5, 0.1, callbacks=[look], backend=ReferenceBackend()
        )

    in_threads(run)
    assert seen == [before] * THREADS
    assert signal.getsignal(signal.SIGINT) is before
