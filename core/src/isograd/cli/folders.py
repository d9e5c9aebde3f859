"""A run's folder: what `isograd train` writes there, and where the other commands find it again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, takewhile
from pathlib import Path

from isograd.errors import ArgumentError, FileAccessError
from isograd.runs import RUN_FILE, DataTable, RunFile, find_run, read_run

CHECKPOINT = "checkpoint.safetensors"
ENSEMBLE = "ensemble.safetensors"
# Of an ensemble's folder, the part that is there from the beginning.
FIRST_MEMBER = "member-0"
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
        If `out` holds a run or an ensemble, which would be overwritten.
    FileAccessError
        If the folder can not be made.
    """
    if out is not None and any((out / mark).exists() for mark in (CHECKPOINT, FIRST_MEMBER)):
        raise ArgumentError(f"--out is {str(out)!r}, which holds a run already; --resume goes on with it")
    folder = out or next(path for path in _candidates(name) if made(path))
    new = out is None or made(out)
    try:
        yield folder
    finally:
        if new and not any(folder.iterdir()):
            folder.rmdir()


def run_to_resume(
    given: str, out: Path | None, suffix: str = "", mark: str = CHECKPOINT
) -> tuple[RunFile, Path]:
    """The run to go on with as its folder says, which RUN only names, and the folder.

    The folder is `out`, or RUN if that is one, or the last of runs/NAME, runs/NAME-2, ... with `suffix` after
    NAME, that has what `mark` names.

    Raises
    ------
    ArgumentError
        If there is no such folder, or it is of another run.
    FileAccessError, FileFormatError
        As `find_run` does.
    """
    run = find_run(given)
    if out is None and Path(given).is_dir():
        out = Path(given)
    folder = _folder_to_resume(run.name + suffix, out, mark)
    saved = read_run(folder / RUN_FILE)
    if saved.name != run.name:
        raise ArgumentError(f"--resume: {folder} holds the run {saved.name!r}; RUN is {run.name!r}")
    return saved, folder


def _folder_to_resume(name: str, out: Path | None, mark: str) -> Path:
    candidates = takewhile(Path.exists, _candidates(name)) if out is None else [out]
    folders = [folder for folder in candidates if (folder / mark).exists()]
    if not folders:
        raise ArgumentError(f"--resume: there is no {Path(mark).stem} in {out or RUNS / name}")
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


def made(folder: Path) -> bool:
    """Whether the folder was not there and is now. Raises FileAccessError if it can not be made."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        return False
    except OSError as error:
        raise FileAccessError(f"{folder}: can not be made: {error.strerror or error}") from error
    return True
