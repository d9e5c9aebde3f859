"""What `isograd train` tells, and what it writes to the run's folder beside the checkpoint."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from isograd.cli.folders import CHECKPOINT, HISTORY, write_text
from isograd.cli.output import percent, print_json, print_text
from isograd.cli.summary import architecture_data
from isograd.errors import NonFiniteError
from isograd.network import Network
from isograd.runs import RUN_FILE, RunFile
from isograd.training import Callback, EpochRecord, History, Progress
from isograd.training.history import epoch_line


class Report(Callback):
    """The network, one line for each epoch and the result on stdout; on a terminal a progress bar on stderr.

    A context manager: on leaving, the bar is gone.

    Parameters
    ----------
    run : RunFile
        With every setting resolved; it goes into the folder when training starts.
    folder : Path
    network : Network
        As it is before; one that is resumed has a history, which goes on.
    as_json : bool
        Print JSON objects with "event" start, epoch and end, and nothing else. The end of a run that met a
        cost that is not finite has "stopped" "not finite", and "epoch", "step" and "layer".
    """

    def __init__(self, run: RunFile, folder: Path, network: Network, as_json: bool) -> None:
        self._run = run
        self._folder = folder
        self._network = network
        self._history = History([] if network.training is None else list(network.training.history.epochs))
        self._as_json = as_json
        self._stack = ExitStack()
        self._bar: Callback | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hide_bar()
        if self._as_json and isinstance(error, NonFiniteError):
            where = {"epoch": error.epoch, "step": error.step, "layer": error.layer}
            print_json(event="end", stopped="not finite", **where)

    def on_start(self, progress: Progress) -> None:
        write_text(self._folder / RUN_FILE, self._run.to_toml())
        if self._as_json:
            print_json(
                event="start",
                folder=str(self._folder),
                run=asdict(self._run),
                **architecture_data(self._network.architecture),
            )
        else:
            print_text(
                f"{self._network.summary()}\n\n{self._run.name} on {self._run.backend}, to {self._folder}"
            )
            if self._run.data.expanded:
                print_text("training data: each image and its shifts by one pixel")
            for spec in self._run.augmentation():
                print_text(f"augmentation: {spec}")
        self._show_bar()

    def on_chunk(self, progress: Progress) -> None:
        if self._bar is not None:
            self._bar.on_chunk(progress)

    def on_epoch(self, record: EpochRecord) -> None:
        self._hide_bar()
        self._history.epochs.append(record)
        write_text(self._folder / HISTORY, self._history.to_json())
        if self._as_json:
            print_json(event="epoch", **record.to_data())
        else:
            print_text(epoch_line(record))
        self._show_bar()

    def finish(self, history: History) -> None:
        """Write the history with the reason why the run ended, and print the result."""
        self._hide_bar()
        write_text(self._folder / HISTORY, history.to_json())
        checkpoint = str(self._folder / CHECKPOINT)
        speed = _images_per_second(history)
        if self._as_json:
            print_json(
                event="end",
                stopped=history.stopped,
                best_epoch=history.best_epoch,
                best_validation_accuracy=history.best_validation_accuracy,
                test_accuracy=history.test_accuracy,
                best_validation_cost=history.best_validation_cost,
                test_cost=history.test_cost,
                images_per_second=speed,
                checkpoint=checkpoint,
            )
            return
        print_text("\n".join(["", *_result(history), f"{speed:,.0f} images/s", f"checkpoint: {checkpoint}"]))

    def _show_bar(self) -> None:
        if sys.stderr.isatty():
            from isograd.training.progress import ProgressBar

            self._bar = self._stack.enter_context(ProgressBar())

    def _hide_bar(self) -> None:
        """Before anything is printed: while rich shows a bar, stdout leads to the bar's own stream."""
        self._stack.close()
        self._bar = None


def _result(history: History) -> list[str]:
    epoch, best, test = history.best_epoch, history.best_validation_accuracy, history.test_accuracy
    lines = [] if history.stopped == "completed" else [f"stopped: {history.stopped}"]
    if best is not None:
        lines.append(f"best validation accuracy: {percent(best)} in epoch {epoch}")
    elif history.best_validation_cost is not None:
        lines.append(f"best validation cost: {history.best_validation_cost:.5g} in epoch {epoch}")
    if test is not None:
        lines.append(f"test accuracy in epoch {history.test_epoch}: {percent(test)}")
    elif history.test_cost is not None:
        lines.append(f"test cost in epoch {history.test_epoch}: {history.test_cost:.5g}")
    return lines


def _images_per_second(history: History) -> float:
    """Over the whole run, evaluation left out."""
    seconds = sum(record.seconds for record in history.epochs)
    images = sum(record.images_per_second * record.seconds for record in history.epochs)
    return images / seconds if seconds > 0 else 0.0
