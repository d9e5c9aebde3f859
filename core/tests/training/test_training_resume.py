"""A run that was stopped anywhere and resumed ends with the bits of one that was not."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isograd.data import Dataset
from isograd.errors import ArgumentError, ArgumentTypeError, FileAccessError
from isograd.layers import Activation, BatchNorm, FullyConnected, Softmax
from isograd.network import Network
from isograd.testing import ReferenceBackend
from isograd.training import Callback, CosineDecay, ExponentialDecay, History, Progress, Triangular

Make = Callable[..., Any]

STEPS = 15  # three epochs of five steps, the last of them partial


@pytest.fixture(scope="session")
def arguments(make_data: Make) -> dict[str, Any]:
    """A run with everything that has to be carried over."""
    return {
        "training_data": make_data(9),
        "epochs": 3,
        "mini_batch_size": 2,
        "eta": ExponentialDecay(0.8, 0.9),
        "validation_data": make_data(7, 1),
        "test_data": make_data(5, 2),
        "lmbda": 0.1,
        "momentum": 0.5,
        "nesterov": True,
        "early_stopping": 5,
    }


@pytest.fixture(scope="session")
def uninterrupted(backend: ReferenceBackend, make_network: Make, arguments: Any) -> tuple[Network, History]:
    network = make_network(0.5)
    return network, network.SGD(**arguments, backend=backend)


def untimed(history: History) -> list[Any]:
    return [replace(record, seconds=0.0, images_per_second=0.0) for record in history.epochs]


def assert_same_end(network: Network, history: History, expected: tuple[Network, History]) -> None:
    assert {path: a.tobytes() for path, a in network.parameters.items()} == {
        path: a.tobytes() for path, a in expected[0].parameters.items()
    }
    assert untimed(history) == untimed(expected[1])
    assert history.stopped == expected[1].stopped
    ends = network.training, expected[0].training
    assert ends[0] is not None
    assert ends[1] is not None
    for mine, other in ((ends[0].arrays, ends[1].arrays), (ends[0].best or {}, ends[1].best or {})):
        assert {name: a.tobytes() for name, a in mine.items()} == {
            name: a.tobytes() for name, a in other.items()
        }


@pytest.mark.parametrize("steps", range(1, STEPS + 1))
def test_resumed_at_any_step_from_its_file_a_run_ends_with_the_same_bits(
    backend: ReferenceBackend,
    make_network: Make,
    arguments: Any,
    uninterrupted: Any,
    tmp_path: Path,
    steps: int,
) -> None:
    path = tmp_path / "run.safetensors"
    history = make_network(0.5).SGD(**arguments, checkpoint=path, max_steps=steps, backend=backend)
    assert history.stopped == ("completed" if steps == STEPS else "max_steps")
    assert len(history.epochs) == steps // 5
    network = Network.load(path)
    assert_same_end(network, network.SGD(**arguments, resume=True, backend=backend), uninterrupted)


@pytest.mark.parametrize("eta", [Triangular(0.8, 3), CosineDecay(0.8, 4)])
@pytest.mark.parametrize("steps", [1, 3, 5, 7, 14])
def test_rates_by_step_and_running_statistics_go_on_where_the_run_was_stopped(
    backend: ReferenceBackend, arguments: Any, tmp_path: Path, eta: Any, steps: int
) -> None:
    def make() -> Network:
        layers = [FullyConnected(3, "linear"), BatchNorm(), Activation("sigmoid"), Softmax(3)]
        return Network(layers, (4,), dtype="float64")

    path = tmp_path / "run.safetensors"
    arguments = arguments | {"eta": eta, "weight_decay": 0.01, "label_smoothing": 0.1, "averaging": 0.9}
    whole = make()
    expected = whole, whole.SGD(**arguments, backend=backend)
    make().SGD(**arguments, checkpoint=path, max_steps=steps, backend=backend)
    network = Network.load(path)
    assert_same_end(network, network.SGD(**arguments, resume=True, backend=backend), expected)
    statistics = {name: array.tobytes() for name, array in network.state.items()}
    assert statistics == {name: array.tobytes() for name, array in whole.state.items()}
    assert statistics.keys() == {"1.running_mean", "1.running_variance"}


@settings(max_examples=10)
@given(pieces=st.lists(st.integers(1, 6), min_size=1, max_size=4), momentum=st.booleans())
def test_a_run_may_be_stopped_again_and_again(
    backend: ReferenceBackend, make_network: Make, arguments: Any, pieces: list[int], momentum: bool
) -> None:
    if not momentum:
        arguments = arguments | {"momentum": 0.0, "nesterov": False}
    whole, network = make_network(0.5), make_network(0.5)
    expected = whole, whole.SGD(**arguments, backend=backend)
    for index, piece in enumerate(pieces):
        network.SGD(**arguments, max_steps=piece, resume=index > 0, backend=backend)
    assert_same_end(network, network.SGD(**arguments, resume=True, backend=backend), expected)


@settings(max_examples=6)
@given(every=st.integers(1, 7))
def test_the_file_is_written_after_so_many_steps_each_time_complete(
    backend: ReferenceBackend,
    make_network: Make,
    arguments: Any,
    uninterrupted: Any,
    tmp_path_factory: pytest.TempPathFactory,
    every: int,
) -> None:
    path = tmp_path_factory.mktemp("run") / "run.safetensors"
    found: list[Network] = []

    class Reader(Callback):
        """Copies what the file held when the next chunk was done."""

        def on_chunk(self, progress: Progress) -> None:
            if path.exists():
                found.append(Network.load(path))

    make_network(0.5).SGD(
        **arguments, checkpoint=path, checkpoint_every=every, callbacks=[Reader()], backend=backend
    )
    steps = [network.training.epoch * 5 + network.training.step for network in found if network.training]
    assert set(steps) == set(range(every, STEPS, every))
    last = Network.load(path)
    assert last.training is not None
    assert last.training.history.stopped == "completed"
    for network in found[:: max(len(found) // 3, 1)]:
        assert_same_end(network, network.SGD(**arguments, resume=True, backend=backend), uninterrupted)


def test_without_checkpoint_every_the_file_is_written_after_each_epoch(
    backend: ReferenceBackend, make_network: Make, arguments: Any, tmp_path: Path
) -> None:
    path = tmp_path / "run.safetensors"
    written: list[int | None] = []

    class Reader(Callback):
        every = 1

        def on_chunk(self, progress: Progress) -> None:
            training = Network.load(path).training if path.exists() else None
            written.append(None if training is None else training.epoch * 5 + training.step)

    make_network(0.5).SGD(**arguments, checkpoint=path, callbacks=[Reader()], backend=backend)
    assert written == [None] * 5 + [5] * 5 + [10] * 5


def test_a_finished_run_resumes_to_nothing_or_to_more_epochs(
    backend: ReferenceBackend, make_network: Make, arguments: Any, uninterrupted: Any
) -> None:
    network = make_network(0.5)
    first = network.SGD(**arguments | {"epochs": 2}, backend=backend)
    again = network.SGD(**arguments | {"epochs": 2}, resume=True, backend=backend)
    assert again == first
    longer = network.SGD(**arguments, resume=True, backend=backend)
    assert len(first.epochs) == 2
    assert_same_end(network, longer, uninterrupted)


def test_a_run_that_stopped_early_stays_stopped(
    backend: ReferenceBackend, make_data: Make, make_network: Make
) -> None:
    network = make_network()
    arguments = {"validation_data": make_data(), "early_stopping": 1, "backend": backend}
    first = network.SGD(make_data(), 9, 5, 1e-9, **arguments)
    again = network.SGD(make_data(), 9, 5, 1e-9, **arguments, resume=True)
    assert first.stopped == again.stopped == "early stopping"
    assert again == first


other_data = Dataset(np.ones((9, 4)), np.zeros(9, np.int32))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"training_data": other_data}, "training_data is data with the fingerprint"),
        ({"validation_data": other_data}, "validation_data is data with the fingerprint"),
        ({"test_data": None}, "test_data is missing; the run to resume has data with the fingerprint"),
        ({"mini_batch_size": 3}, "mini_batch_size is 3; the run to resume has 2"),
        ({"eta": 0.8}, "eta is 0.8; the run to resume has .*ExponentialDecay"),
        ({"eta": ExponentialDecay(0.8, 0.8)}, "eta is .*0.8.* the run to resume has"),
        ({"lmbda": 0.2}, "lmbda is 0.2"),
        ({"momentum": 0.6}, "momentum is 0.6"),
        ({"nesterov": False}, "nesterov is False"),
        ({"averaging": 0.5}, "averaging is 0.5; the run to resume has 0.0"),
        ({"shuffle": False}, "shuffle is False"),
        ({"drop_last": True}, "drop_last is True"),
        ({"early_stopping": None}, "early_stopping is None; the run to resume has 5"),
        ({"gradient": "native"}, "gradient is 'native'; the run to resume has 'symbolic'"),
        ({"epochs": 1}, "epochs is 1; the run to resume is in its epoch number 2"),
    ],
)
@pytest.mark.parametrize("through_file", [False, True])
def test_a_run_resumes_only_with_the_arguments_and_data_that_it_began_with(
    backend: ReferenceBackend,
    make_network: Make,
    arguments: Any,
    tmp_path: Path,
    changed: dict[str, Any],
    message: str,
    through_file: bool,
) -> None:
    path = tmp_path / "run.safetensors"
    network = make_network(0.5)
    network.SGD(**arguments, max_steps=7, checkpoint=path, backend=backend)
    if through_file:
        network = Network.load(path)
    before, training = {p: a.tobytes() for p, a in network.parameters.items()}, network.training
    with pytest.raises(ArgumentError, match=message):
        network.SGD(**arguments | changed, resume=True, backend=backend)
    assert {p: a.tobytes() for p, a in network.parameters.items()} == before
    assert network.training is training


def test_there_must_be_a_run_to_resume(backend: ReferenceBackend, make_network: Make, arguments: Any) -> None:
    with pytest.raises(ArgumentError, match="no run to go on with"):
        make_network().SGD(**arguments, resume=True, backend=backend)
    with pytest.raises(ArgumentTypeError, match="resume is 1"):
        make_network().SGD(**arguments, resume=1, backend=backend)


def test_a_function_without_a_name_resumes_in_memory_and_is_refused_a_checkpoint(
    backend: ReferenceBackend, make_network: Make, arguments: Any, tmp_path: Path
) -> None:
    def eta(epoch: int) -> float:
        return 0.5 / (epoch + 1)

    arguments = arguments | {"eta": eta}
    network, whole = make_network(0.5), make_network(0.5)
    expected = whole, whole.SGD(**arguments, backend=backend)
    network.SGD(**arguments, max_steps=7, backend=backend)
    with pytest.raises(ArgumentError, match=r"eta is .*; the run to resume has"):
        network.SGD(**arguments | {"eta": lambda epoch: 0.5 / (epoch + 1)}, resume=True, backend=backend)
    with pytest.raises(ArgumentError, match=r"eta is .*can not be saved"):
        network.SGD(**arguments, resume=True, checkpoint=tmp_path / "run", backend=backend)
    assert not list(tmp_path.iterdir())
    assert_same_end(network, network.SGD(**arguments, resume=True, backend=backend), expected)


def test_the_best_parameters_can_be_loaded_from_a_checkpoint(
    backend: ReferenceBackend, make_network: Make, arguments: Any, tmp_path: Path
) -> None:
    path = tmp_path / "run.safetensors"
    network = make_network(0.5)
    history = network.SGD(**arguments, checkpoint=path, backend=backend)
    best = Network.load(path, best=True)
    assert best.accuracy(arguments["validation_data"], backend=backend) == history.best_validation_accuracy
    assert best.accuracy(arguments["test_data"], backend=backend) == history.test_accuracy
    network.save(path)
    with pytest.raises(ArgumentError, match="no parameters of a best epoch"):
        Network.load(path, best=True)


class Interrupt(Callback):
    """Ctrl-C, once or more often, after a certain step."""

    every = 1

    def __init__(self, at: int, times: int = 1) -> None:
        self.at = at
        self.times = times

    def on_chunk(self, progress: Progress) -> None:
        if progress.epoch * 5 + progress.step == self.at:
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)


@settings(max_examples=8)
@given(seed=st.integers(0, 100))
def test_an_interrupted_run_keeps_the_parameters_of_the_best_epoch(
    backend: ReferenceBackend, make_data: Make, make_network: Make, seed: int
) -> None:
    # Steps so large that the accuracy goes up and down; the interrupt comes in the middle of the last epoch.
    network, snapshots = make_network(seed=seed), []
    history = network.SGD(
        make_data(9, seed), 8, 2, 3.0, make_data(9, seed + 1), backend=backend,
        callbacks=[Interrupt(37), lambda record: snapshots.append(network.parameters)],
    )  # fmt: skip
    assert history.stopped == "interrupted"
    assert len(snapshots) == 7
    best = snapshots[history.best_epoch or 0]
    assert {path: a.tobytes() for path, a in network.parameters.items()} == {
        path: a.tobytes() for path, a in best.items()
    }


@settings(max_examples=8)
@given(at=st.integers(1, STEPS))
def test_an_interrupted_run_resumes_where_it_stopped(
    backend: ReferenceBackend,
    make_network: Make,
    arguments: Any,
    uninterrupted: Any,
    tmp_path_factory: pytest.TempPathFactory,
    at: int,
) -> None:
    path = tmp_path_factory.mktemp("run") / "run.safetensors"
    network = make_network(0.5)
    history = network.SGD(**arguments, callbacks=[Interrupt(at)], checkpoint=path, backend=backend)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert history.stopped == "interrupted"
    assert len(history.epochs) == at // 5
    loaded = Network.load(path)
    assert loaded.training is not None
    assert loaded.training.epoch * 5 + loaded.training.step == at
    for resumed in (loaded, network):
        assert_same_end(resumed, resumed.SGD(**arguments, resume=True, backend=backend), uninterrupted)


def test_without_validation_an_interrupted_run_keeps_the_parameters_that_it_had(
    backend: ReferenceBackend, make_data: Make, make_network: Make
) -> None:
    stopped, interrupted = make_network(), make_network()
    stopped.SGD(make_data(9), 3, 2, 0.5, max_steps=7, backend=backend)
    interrupted.SGD(make_data(9), 3, 2, 0.5, callbacks=[Interrupt(7)], backend=backend)
    for path, array in stopped.parameters.items():
        assert interrupted.parameters[path].tobytes() == array.tobytes()


def test_a_second_interrupt_does_not_wait(
    backend: ReferenceBackend, make_data: Make, make_network: Make
) -> None:
    network, stopped = make_network(), make_network()
    stopped.SGD(make_data(9), 3, 2, 0.5, max_steps=7, backend=backend)
    with pytest.raises(KeyboardInterrupt):
        network.SGD(make_data(9), 3, 2, 0.5, callbacks=[Interrupt(7, times=2)], backend=backend)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    for path, array in stopped.parameters.items():
        assert network.parameters[path].tobytes() == array.tobytes()


def test_somebody_elses_handler_stays_in_charge(
    backend: ReferenceBackend, make_data: Make, make_network: Make
) -> None:
    calls: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: calls.append(number))
    try:
        mine = signal.getsignal(signal.SIGINT)
        history = make_network().SGD(make_data(9), 1, 2, 0.5, callbacks=[Interrupt(2)], backend=backend)
        assert signal.getsignal(signal.SIGINT) is mine
    finally:
        signal.signal(signal.SIGINT, before)
    assert history.stopped == "completed"
    assert calls == [signal.SIGINT]


def test_in_another_thread_training_leaves_signals_alone(
    backend: ReferenceBackend, make_data: Make, make_network: Make
) -> None:
    handlers: list[Any] = []
    histories: list[History] = []

    def work() -> None:
        look = [lambda record: handlers.append(signal.getsignal(signal.SIGINT))]
        histories.append(make_network().SGD(make_data(), 1, 5, 0.1, callbacks=look, backend=backend))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [signal.default_int_handler]
    assert histories[0].stopped == "completed"


def test_an_interrupt_during_the_last_save_is_not_lost(
    backend: ReferenceBackend,
    make_network: Make,
    arguments: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from isograd.training import checkpoint

    def write_slowly(*given: Any) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(checkpoint, "write", write_slowly)
    with pytest.raises(KeyboardInterrupt):
        make_network(0.5).SGD(**arguments | {"epochs": 1}, checkpoint=tmp_path / "run", backend=backend)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_where_nothing_can_be_written_training_does_not_start(
    backend: ReferenceBackend, make_network: Make, arguments: Any, tmp_path: Path
) -> None:
    for path in (tmp_path, tmp_path / "missing" / "run"):
        network = make_network(0.5)
        with pytest.raises(FileAccessError, match=r"can not be written|is a folder"):
            network.SGD(**arguments, checkpoint=path, backend=backend)
        assert network.training is None
        assert all(np.array_equal(a, make_network(0.5).parameters[p]) for p, a in network.parameters.items())
    assert not list(tmp_path.iterdir())
