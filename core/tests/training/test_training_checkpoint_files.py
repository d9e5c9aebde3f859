"""A checkpoint for each epoch: which files there are, and that each of them can be resumed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isograd.errors import ArgumentError, ArgumentTypeError, FileAccessError
from isograd.network import Network
from isograd.testing import ReferenceBackend
from isograd.training import Callback, Checkpoints, Progress

Make = Callable[..., Any]


def numbers(folder: Path) -> list[int]:
    """The epochs of which there are files; nothing else may be there."""
    return sorted(int(path.stem) for path in folder.iterdir())


@settings(max_examples=12)
@given(
    every=st.integers(1, 3),
    keep=st.none() | st.integers(1, 3),
    cut=st.integers(1, 14),
    epochs=st.integers(1, 7),
)
def test_the_latest_files_are_kept_also_over_a_resume(
    backend: ReferenceBackend,
    make_data: Make,
    make_network: Make,
    tmp_path_factory: pytest.TempPathFactory,
    every: int,
    keep: int | None,
    cut: int,
    epochs: int,
) -> None:
    folder, network = tmp_path_factory.mktemp("checkpoints"), make_network()
    for cut_short in (cut, None):
        network.SGD(
            *(make_data(4), epochs, 2, 0.1),
            callbacks=[Checkpoints(folder / "{epoch:03d}.safetensors", every, keep)],
            max_steps=cut_short,
            resume=cut_short is None,
            backend=backend,
        )
    due = [epoch for epoch in range(epochs) if (epoch + 1) % every == 0]
    assert numbers(folder) == (due if keep is None else due[-keep:])


def test_a_run_that_is_resumed_from_any_of_them_ends_with_the_same_bits(
    backend: ReferenceBackend, make_data: Make, make_network: Make, tmp_path: Path
) -> None:
    arguments: Any = {"momentum": 0.5, "backend": backend}
    data, validation, network = make_data(9), make_data(5, 1), make_network(0.5)
    whole = network.SGD(
        data, 3, 2, 0.1, validation, callbacks=[Checkpoints(tmp_path / "{epoch}")], **arguments
    )
    for epoch in range(3):
        resumed = Network.load(tmp_path / str(epoch))
        assert resumed.training is not None
        assert resumed.training.history.epochs == whole.epochs[: epoch + 1]
        history = resumed.SGD(data, 3, 2, 0.1, validation, resume=True, **arguments)
        assert [r.cost for r in history.epochs] == [r.cost for r in whole.epochs]
        for path, array in network.parameters.items():
            assert resumed.parameters[path].tobytes() == array.tobytes()


@pytest.mark.parametrize(
    ("pattern", "error", "message"),
    [
        (7, ArgumentTypeError, "pattern is 7; expected a path"),
        ("run.safetensors", ArgumentError, "the same file for several epochs; expected a path with {epoch}"),
        ("{step}", ArgumentError, "no format"),
        ("{}", ArgumentError, "no format"),
        ("{epoch", ArgumentError, "no format"),
        ("{epoch.x}", ArgumentError, "no format"),
        ("{epoch:s}", ArgumentError, "no format"),
    ],
)
def test_a_pattern_that_does_not_name_each_epoch_is_refused(
    pattern: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Checkpoints(pattern)


@pytest.mark.parametrize(("argument", "value"), [("every_epochs", 0), ("keep", 0)])
def test_numbers_below_one_are_refused(argument: str, value: int) -> None:
    with pytest.raises(ArgumentError, match=f"{argument} is 0; expected at least 1"):
        Checkpoints("{epoch}", **{argument: value})


def test_what_could_not_be_written_is_found_out_before_the_first_step(
    backend: ReferenceBackend, make_data: Make, make_network: Make, tmp_path: Path
) -> None:
    def sgd(pattern: Path, eta: Any = 0.1, epochs: int = 1) -> None:
        make_network().SGD(
            make_data(), epochs, 5, eta, callbacks=[Checkpoints(pattern)], backend=backend, max_steps=1
        )

    with pytest.raises(FileAccessError, match="missing"):
        sgd(tmp_path / "missing" / "{epoch}")
    with pytest.raises(ArgumentError, match="schedule"):
        sgd(tmp_path / "{epoch}", eta=lambda epoch: 0.1)
    with pytest.raises(ArgumentError, match="the same file"):
        sgd(tmp_path / "{epoch:.0e}", epochs=12)
    assert list(tmp_path.iterdir()) == []


def test_a_run_can_not_be_saved_between_the_last_step_of_an_epoch_and_its_evaluation(
    backend: ReferenceBackend, make_data: Make, make_network: Make, tmp_path: Path
) -> None:
    class Saver(Callback):
        every = 1

        def on_chunk(self, progress: Progress) -> None:
            progress.save(tmp_path / f"{progress.step}")

    with pytest.raises(ArgumentError, match="epoch 0 is not evaluated yet; expected to save in on_epoch"):
        make_network().SGD(make_data(), 1, 5, 0.1, callbacks=[Saver()], backend=backend)
    assert [path.name for path in tmp_path.iterdir()] == ["1"]
    assert Network.load(tmp_path / "1").training is not None
