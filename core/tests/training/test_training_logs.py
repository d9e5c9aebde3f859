"""Logs of epochs as files: complete whatever is measured and wherever a run goes on; nobody's file lost."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isograd.errors import ArgumentTypeError, FileAccessError, FileFormatError
from isograd.network import Network
from isograd.testing import ReferenceBackend
from isograd.training import Callback, CSVLog, EpochRecord, History, JSONLinesLog, Progress

Make = Callable[..., Any]
Log = type[CSVLog] | type[JSONLinesLog]
BOTH = pytest.mark.parametrize("log", [CSVLog, JSONLinesLog])


class Measures(Callback):
    """Measures, after each epoch, the next of what it was given."""

    def __init__(self, *measured: dict[str, float]) -> None:
        self.left = list(measured)

    def measure(self, progress: Progress) -> dict[str, float]:
        return self.left.pop(0)


def read(path: Path) -> list[EpochRecord]:
    """What a log says, whichever it is, by other programs' means."""
    if path.read_bytes().startswith(b"{"):
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
        return History.from_data({"stopped": None, "epochs": lines}).epochs
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, strict=True))
    found = []
    for row in rows:
        values = {name: None if cell == "" else float(cell) for name, cell in row.items()}
        measured = {
            name.removeprefix("measured/"): value
            for name, value in values.items()
            if name.startswith("measured/") and value is not None
        }
        fields: Any = {name: value for name, value in values.items() if not name.startswith("measured/")}
        found.append(EpochRecord(**{**fields, "epoch": int(row["epoch"])}, measured=measured))
    return found


NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
MEASURED = st.dictionaries(NAMES, st.floats(), max_size=3)


@BOTH
@settings(max_examples=15)
@given(measured=st.lists(MEASURED, min_size=1, max_size=3))
def test_a_log_has_every_value_of_the_history_whatever_is_measured_when(
    backend: ReferenceBackend,
    make_data: Make,
    make_network: Make,
    tmp_path_factory: pytest.TempPathFactory,
    log: Log,
    measured: list[dict[str, float]],
) -> None:
    path = tmp_path_factory.mktemp("log") / "epochs"
    history = make_network().SGD(
        *(make_data(6), len(measured), 6, 0.1, make_data(5, 1)),
        callbacks=[Measures(*measured), log(path)],
        backend=backend,
    )
    # By repr, for a NaN is not equal to itself; the order of what is measured is not kept.
    assert list(map(shown, read(path))) == list(map(shown, history.epochs))


def shown(record: EpochRecord) -> str:
    return repr({**record.to_data(), "measured": dict(sorted(record.measured.items()))})


@BOTH
def test_a_row_is_there_as_soon_as_its_epoch_is_over(
    backend: ReferenceBackend, make_data: Make, make_network: Make, tmp_path: Path, log: Log
) -> None:
    path, seen = tmp_path / "epochs", []
    make_network().SGD(
        *(make_data(), 3, 5, 0.1),
        callbacks=[log(path), lambda record: seen.append(len(read(path)))],
        backend=backend,
    )
    assert seen == [1, 2, 3]


@BOTH
@settings(max_examples=12)
@given(steps=st.integers(1, 11), lost=st.integers(0, 2))
def test_after_a_resume_the_log_has_each_epoch_once(
    backend: ReferenceBackend,
    make_data: Make,
    make_network: Make,
    tmp_path_factory: pytest.TempPathFactory,
    log: Log,
    steps: int,
    lost: int,
) -> None:
    folder, data = tmp_path_factory.mktemp("log"), make_data(9)
    path, checkpoint = folder / "epochs", folder / "run.safetensors"
    callbacks: Any = [Measures({"a": math.inf}, {"b": math.nan}, {}), log(path)]
    arguments: Any = {"callbacks": callbacks, "backend": backend}
    make_network().SGD(data, 3, 2, 0.1, max_steps=steps, checkpoint=checkpoint, **arguments)
    # The process died later than the checkpoint is from, or while it wrote a line, or the log went astray.
    if lost == 1:
        path.write_bytes(path.read_bytes() + path.read_bytes()[-20:])
    elif lost == 2:
        path.unlink()
    callbacks[0].left = callbacks[0].left or [{}]
    history = Network.load(checkpoint).SGD(data, 3, 2, 0.1, resume=True, **arguments)
    assert list(map(shown, read(path))) == list(map(shown, history.epochs))


@BOTH
def test_a_new_run_replaces_a_log_and_no_other_file(
    backend: ReferenceBackend, make_data: Make, make_network: Make, tmp_path: Path, log: Log
) -> None:
    path, network = tmp_path / "epochs", make_network()
    for epochs in (3, 2):
        network.SGD(make_data(), epochs, 5, 0.1, callbacks=[log(path)], backend=backend)
        assert len(read(path)) == epochs
    path.write_text("my,results\n1,2\n")
    before = {name: array.tobytes() for name, array in network.parameters.items()}
    with pytest.raises(FileFormatError, match=f"epochs: is no file of {log.__name__}"):
        network.SGD(make_data(), 2, 5, 0.1, callbacks=[log(path)], backend=backend)
    assert path.read_text() == "my,results\n1,2\n"
    assert {name: array.tobytes() for name, array in network.parameters.items()} == before


@BOTH
@pytest.mark.parametrize("name", ["", "missing/epochs"])
def test_a_file_that_can_not_be_written_is_found_out_before_the_first_step(
    backend: ReferenceBackend, make_data: Make, make_network: Make, tmp_path: Path, log: Log, name: str
) -> None:
    network = make_network()
    before = {path: array.tobytes() for path, array in network.parameters.items()}
    with pytest.raises(FileAccessError, match=r"epochs|regular"):
        network.SGD(make_data(), 1, 5, 0.1, callbacks=[log(tmp_path / name)], backend=backend)
    assert {path: array.tobytes() for path, array in network.parameters.items()} == before


@BOTH
def test_what_is_no_path_is_refused(log: Log) -> None:
    with pytest.raises(ArgumentTypeError, match="path is 7; expected a path"):
        log(7)  # type: ignore[arg-type]


def test_half_a_surrogate_pair_in_a_name_is_written_as_its_code(
    backend: ReferenceBackend, make_data: Make, make_network: Make, tmp_path: Path
) -> None:
    path = tmp_path / "epochs.csv"
    callbacks = [Measures({"\ud800": 1.0}), CSVLog(path)]
    make_network().SGD(make_data(), 1, 5, 0.1, callbacks=callbacks, backend=backend)
    assert read(path)[0].measured == {"\\ud800": 1.0}


@BOTH
def test_a_log_that_can_no_longer_be_written_ends_the_run_with_the_epochs_parameters(
    backend: ReferenceBackend, make_data: Make, make_network: Make, tmp_path: Path, log: Log
) -> None:
    folder, network = tmp_path / "logs", make_network()
    folder.mkdir()

    def move(record: EpochRecord) -> None:
        folder.rename(tmp_path / "elsewhere")

    before = {path: array.tobytes() for path, array in network.parameters.items()}
    with pytest.raises(FileAccessError, match="epochs: can not be written"):
        network.SGD(make_data(), 2, 5, 0.1, callbacks=[move, log(folder / "epochs")], backend=backend)
    assert {path: array.tobytes() for path, array in network.parameters.items()} != before
    assert len((tmp_path / "elsewhere" / "epochs").read_text().splitlines()) <= 1
