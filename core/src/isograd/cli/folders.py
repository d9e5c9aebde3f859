"""A run's folder: what `isograd train` writes there, and where the other commands find it again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from isograd.errors import ArgumentError, FileAccessError
from isograd.runs import RUN_FILE, DataTable, read_run

CHECKPOINT = "checkpoint.safetensors"
HISTORY = "history.json"

# Below the working directory; each run has its name here.
RUNS = Path("runs")


def new_folder(name: str, out: Path | None) -> Path:
    """The folder of a new run: `out`, or the first of runs/NAME, runs/NAME-2, ... that holds no run.

    Raises
    ------
    ArgumentError
        If `out` holds a run, which would be overwritten.
    """
    if out is None:
        return next(folder for folder in _candidates(name) if not _holds_run(folder))
    if _holds_run(out):
        raise ArgumentError(f"--out is {str(out)!r}, which holds a run; --resume goes on with it")
    return out


def folder_to_resume(name: str, out: Path | None) -> Path:
    """The folder of the run to go on with: `out`, or the last of runs/NAME, runs/NAME-2, ... that holds one.

    Raises
    ------
    ArgumentError
        If there is no checkpoint.
    """
    folder = out or RUNS / name
    if out is None:
        for candidate in _candidates(name):
            if not _holds_run(candidate):
                break
            folder = candidate
    if not _holds_run(folder):
        raise ArgumentError(f"--resume: {folder} holds no checkpoint to go on from")
    return folder


@contextmanager
def folder_for_run(folder: Path) -> Iterator[None]:
    """Make the folder, and those above it; if nothing was written to it, it is gone afterwards.

    Raises
    ------
    FileAccessError
        If it can not be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileAccessError(f"{folder}: can not be made: {error.strerror or error}") from error
    try:
        yield
    finally:
        if not any(folder.iterdir()):
            folder.rmdir()


def write_text(path: Path, text: str) -> None:
    """Write a file whole, or leave what was there. Raises FileAccessError if it can not be written."""
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise FileAccessError(f"{path}: can not be written: {error.strerror or error}") from error


def checkpoint_file(path: Path) -> Path:
    """The checkpoint that a command was given: the file itself, or the one in a run's folder."""
    return path / CHECKPOINT if path.is_dir() else path


def data_beside(checkpoint: Path) -> DataTable:
    """The data of the run that wrote a checkpoint.

    Raises
    ------
    ArgumentError
        If there is no run file beside it.
    """
    run_file = checkpoint.parent / RUN_FILE
    if not run_file.is_file():
        raise ArgumentError(f"there is no {RUN_FILE} beside {checkpoint} that names its data; pass --data")
    return read_run(run_file).data


def _candidates(name: str) -> Iterator[Path]:
    yield RUNS / name
    yield from (RUNS / f"{name}-{number}" for number in count(2))


def _holds_run(folder: Path) -> bool:
    return (folder / CHECKPOINT).exists()
