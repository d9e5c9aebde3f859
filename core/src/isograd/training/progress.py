"""A progress bar on the error stream, for a terminal."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from isograd.training.callbacks import Callback, Progress
from isograd.training.history import EpochRecord


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
        parts = [f"epoch {record.epoch}: cost {record.cost:.4f}"]
        if record.validation_accuracy is not None:
            parts.append(f"validation accuracy {record.validation_accuracy:.2%}")
        elif record.validation_cost is not None:
            parts.append(f"validation cost {record.validation_cost:.5g}")
        if record.test_accuracy is not None:
            parts.append(f"test accuracy {record.test_accuracy:.2%}")
        elif record.test_cost is not None:
            parts.append(f"test cost {record.test_cost:.5g}")
        parts.append(f"{record.seconds:.1f} s, {record.images_per_second:,.0f} images/s")
        self._bar.console.print(", ".join(parts), highlight=False, soft_wrap=True)
