"""A progress bar on the error stream, for a terminal."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from isograd.training.callbacks import Callback, Progress
from isograd.training.history import EpochRecord, epoch_line


class ProgressBar(Callback):
    """A bar for each epoch, and a line of text after it. A context manager: leaving it takes the bar away."""

    def __init__(self) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
        )
        # A console of its own: rich allows one live display on each.
        self._bar = Bar(*columns, console=Console(file=sys.stderr), transient=True)
        self._task = self._bar.add_task("", total=None, speed="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def on_chunk(self, progress: Progress) -> None:
        self._bar.update(
            self._task,
            description=f"epoch {progress.epoch} of {progress.epochs}, cost {progress.cost:.4f}",
            total=progress.steps,
            completed=progress.step,
            speed=f"{progress.images_per_second:,.0f} images/s",
        )

    def on_epoch(self, record: EpochRecord) -> None:
        self._bar.console.print(epoch_line(record), highlight=False, soft_wrap=True)
