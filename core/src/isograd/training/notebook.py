"""Histories and progress in a notebook."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from types import TracebackType
from typing import Any, Self

from isograd.errors import UnsupportedError
from isograd.pages.fragments import image, table
from isograd.training.callbacks import Callback, Progress
from isograd.training.history import EpochRecord, History, epoch_line

# Of a longer history the epochs in the middle are left out.
MOST_ROWS = 60

# A page that is changed more often shows no more.
_SECONDS = 0.2

_COLUMNS: dict[str, tuple[str, Callable[[float], str]]] = {
    "cost": ("cost", "{:.5g}".format),
    "validation_accuracy": ("validation accuracy", "{:.2%}".format),
    "validation_cost": ("validation cost", "{:.5g}".format),
    "test_accuracy": ("test accuracy", "{:.2%}".format),
    "test_cost": ("test cost", "{:.5g}".format),
    "eta": ("eta", "{:.4g}".format),
    "seconds": ("seconds", "{:.1f}".format),
    "images_per_second": ("images/s", "{:,.0f}".format),
}


def in_notebook() -> bool:
    """Whether this is a kernel of Jupyter's, which shows HTML and changes it."""
    running = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(running, "kernel")


def history_html(history: History) -> str:
    """The curves, where matplotlib draws them, and the table of the epochs, the best one in bold."""
    if not history.epochs:
        return "<p>no epochs yet</p>"
    return _curves(history) + epochs_table(history)


def epochs_table(history: History) -> str:
    """The table of the epochs, with a column for each quantity that was measured."""
    records = history.epochs
    fields = {
        name: column
        for name, column in _COLUMNS.items()
        if any(getattr(record, name) is not None for record in records)
    }
    measured = list(dict.fromkeys(name for record in records for name in record.measured))
    headings = ["epoch", *(heading for heading, _ in fields.values()), *measured]
    shown: list[EpochRecord | None] = [*records]
    if len(records) > MOST_ROWS:
        shown[MOST_ROWS // 2 : -MOST_ROWS // 2] = [None]
    rows = [_row(record, fields, measured) for record in shown]
    best = [
        number
        for number, record in enumerate(shown)
        if record is not None and record.score is not None and record.epoch == history.best_epoch
    ]
    return table(headings, rows, best)


def _row(
    record: EpochRecord | None,
    fields: Mapping[str, tuple[str, Callable[[float], str]]],
    measured: list[str],
) -> list[str]:
    if record is None:
        return ["…"] * (1 + len(fields) + len(measured))
    cells = [str(record.epoch)]
    for name, (_, form) in fields.items():
        value = getattr(record, name)
        cells.append("" if value is None else form(value))
    return cells + [f"{record.measured[name]:.5g}" if name in record.measured else "" for name in measured]


def _curves(history: History) -> str:
    from isograd.figures import plot_history
    from isograd.figures.style import figure_svg

    try:
        return image(figure_svg(plot_history(history)), "costs and accuracies by epoch")
    except UnsupportedError:
        return ""


@dataclass(frozen=True)
class _Display:
    """What is shown at one time: the epochs and, while it runs, where the run is."""

    records: tuple[EpochRecord, ...]
    now: Progress | None

    def __repr__(self) -> str:
        lines = [epoch_line(record) for record in self.records]
        return "\n".join(lines if self.now is None else [*lines, _now(self.now)])

    def _repr_html_(self) -> str:
        done = epochs_table(History(list(self.records))) if self.records else ""
        if self.now is None:
            return done
        bar = f'<progress value="{self.now.step}" max="{self.now.steps}"></progress>'
        return f"{done}<div>{bar} {escape(_now(self.now))}</div>"


def _now(progress: Progress) -> str:
    return (
        f"epoch {progress.epoch} of {progress.epochs}: step {progress.step} of {progress.steps}, "
        f"cost {progress.cost:.4f}, {progress.images_per_second:,.0f} images/s"
    )


class NotebookProgress(Callback):
    """A table of the epochs and a bar for the present one, which grow where they are in a notebook.

    A context manager, as `isograd.training.progress.ProgressBar`: leaving it takes the bar away.
    """

    def __init__(self) -> None:
        self._records: tuple[EpochRecord, ...] = ()
        self._handle: Any = None
        self._due = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handle is not None:
            self._show(None)

    def on_start(self, progress: Progress) -> None:
        self._records = progress.records
        self._show(progress)

    def on_chunk(self, progress: Progress) -> None:
        if time.monotonic() >= self._due:
            self._show(progress)

    def on_epoch(self, record: EpochRecord) -> None:
        self._records = (*self._records, record)
        self._show(None)

    def _show(self, progress: Progress | None) -> None:
        from IPython.display import display

        shown = _Display(self._records, progress)
        if self._handle is None:
            self._handle = display(shown, display_id=True)
        else:
            self._handle.update(shown)
        self._due = time.monotonic() + _SECONDS
