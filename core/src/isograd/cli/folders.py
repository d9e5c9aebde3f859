"""A run's folder: what `isograd train` writes there, and where the other commands find it again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, takewhile
from pathlib import Path

from isograd.errors import ArgumentError, FileAccessError
from isograd.runs import RUN_FILE, DataTable, read_run

CHECKPOINT = "checkpoint.safetensors"
ENSEMBLE = "ensemble.safetensors"
HISTORY = "history.json"

# Below the working directory; each run has its name here.
RUNS = Path("runs")


@contextmanager
def new_folder(name: str, out: Path | None) -> Iterator[Path]:
    """Make the folder of a new run; if it is new and nothing was written to it, it is gone afterwards.

    It is `out`, or the first of runs/NAME, runs/NAME-2, ... that does not exist: runs that start at the same
    time get a folder each.

    Raises
    ------
    ArgumentError
        If `out` holds a checkpoint, which would be overwritten.
    FileAccessError
        If the folder can not be made.
    """
    if out is not None and _has_checkpoint(out):
        raise ArgumentError(f"--out is {str(out)!r}, which holds a run already; --resume goes on with it")
    folder = out or next(path for path in _candidates(name) if _made(path))
    made = out is None or _made(out)
    try:
        yield folder
    finally:
        if made and not any(folder.iterdir()):
            folder.rmdir()


def folder_to_resume(name: str, out: Path | None) -> Path:
    """The folder of the run to go on with: `out`, or the last of runs/NAME, runs/NAME-2, ... that fits.

    Raises
    ------
    ArgumentError
        If there is none with a checkpoint.
    """
    candidates = takewhile(Path.exists, _candidates(name)) if out is None else [out]
    folders = [folder for folder in candidates if _has_checkpoint(folder)]
    if not folders:
        raise ArgumentError(f"--resume: there is no checkpoint in {out or RUNS / name}")
    return folders[-1]


def write_text(path: Path, text: str) -> None:
    """Write a file whole, or leave what was there. Raises FileAccessError if it can not be written."""
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise FileAccessError(f"{path}: can not be written: {error.strerror or error}") from error


def checkpoint_file(path: Path) -> Path:
    """The checkpoint that a command was given: the file itself, or the one in a run's folder."""
    return path / CHECKPOINT if path.is_dir() else path


def model_file(path: Path) -> Path:
    """As `checkpoint_file`, or the ensemble in a folder that has no checkpoint."""
    checkpoint, ensemble = checkpoint_file(path), path / ENSEMBLE
    return ensemble if ensemble.is_file() and not checkpoint.exists() else checkpoint


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


def _made(folder: Path) -> bool:
    """Whether the folder was not there and is now."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        return False
    except OSError as error:
        raise FileAccessError(f"{folder}: can not be made: {error.strerror or error}") from error
    return True


def _has_checkpoint(folder: Path) -> bool:
    return (folder / CHECKPOINT).exists()
