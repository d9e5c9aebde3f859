"""A checkpoint for each epoch, or the last few of them."""

from __future__ import annotations

import os
from pathlib import Path

from isograd.data.files import temporary_beside
from isograd.errors import ArgumentError, FileAccessError
from isograd.training.callbacks import Callback, Progress
from isograd.training.checks import checked_path, optional_whole, whole
from isograd.training.history import EpochRecord
from isograd.training.tensor_file import check_writable

# How many names are compared; there may be far more epochs than any run gets to.
_CHECKED = 10_000


class Checkpoints(Callback):
    """Writes the run to a file of its own after each epoch, or each so many.

    With each of the files the run can be resumed after that epoch, as with the one of `SGD(checkpoint=...)`.

    Parameters
    ----------
    pattern : path
        The files' path with "{epoch}", as `str.format` takes it: "run/{epoch:03d}.safetensors". Epochs count
        from 0. The folder must exist.
    every_epochs : int
        Write after each so many epochs of the run.
    keep : int, optional
        Keep the latest so many of the files and remove those of the run's earlier epochs, also when it was
        resumed; None keeps all.

    Raises
    ------
    ArgumentTypeError, ArgumentError
        If an argument is not as described; before the run's first step, if two epochs would have the same
        file, or a function of the network or a schedule has no registered name.
    FileAccessError
        If a file can not be written, which is tried before the run's first step, or not be removed.
    """

    def __init__(
        self, pattern: str | os.PathLike[str], every_epochs: int = 1, keep: int | None = None
    ) -> None:
        self.pattern = str(checked_path("pattern", pattern))
        self.every_epochs = whole("every_epochs", every_epochs, 1)
        self.keep = optional_whole("keep", keep, 1)
        self._check_names(2)

    def path(self, epoch: int) -> Path:
        """The file of an epoch."""
        return Path(self.pattern.format(epoch=epoch))

    def on_start(self, progress: Progress) -> None:
        self._check_names(min(progress.epochs, _CHECKED))
        self._save = progress.save
        path = self.path(progress.epoch)
        check_writable(path)
        trial = temporary_beside(path)
        try:
            progress.save(trial)
        finally:
            trial.unlink(missing_ok=True)

    def on_epoch(self, record: EpochRecord) -> None:
        done = record.epoch + 1
        if done % self.every_epochs:
            return
        self._save(self.path(record.epoch))
        if self.keep is not None:
            written = range(self.every_epochs - 1, done, self.every_epochs)
            for epoch in reversed(written[: -self.keep]):
                if not _removed(self.path(epoch)):
                    break

    def _check_names(self, epochs: int) -> None:
        """Refuse a pattern that does not give each epoch a file of its own."""
        expected = "expected a path with {epoch}, such as 'run/{epoch:03d}.safetensors'"
        try:
            names = {self.path(epoch) for epoch in range(epochs)}
        except (LookupError, ValueError, AttributeError, TypeError) as error:
            raise ArgumentError(
                f"pattern is {self.pattern!r}, which is no format ({error}); {expected}"
            ) from error
        if len(names) < epochs:
            raise ArgumentError(f"pattern is {self.pattern!r}, the same file for several epochs; {expected}")


def _removed(path: Path) -> bool:
    """Whether the file was there; if not, those of earlier epochs are not either."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise FileAccessError(f"{path}: can not be removed: {error.strerror or error}") from error
    return True
