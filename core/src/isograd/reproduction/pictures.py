"""The figures of a report, as PNG files in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from isograd.data import load_dataset
from isograd.figures import (
    plot_curves,
    plot_errors,
    plot_filters,
    plot_measured,
    plot_overfitting,
    plot_values,
)
from isograd.figures.measured import MOST_PANELS
from isograd.figures.style import PAGE_DPI, PAGE_PIXELS, figure_png
from isograd.reproduction.results import Result
from isograd.training import History

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# A curve of more runs than this could not be read.
_MOST_CURVES = 15
_MOST_MISTAKES = 64

_MEASURED = {
    "gradient_norm/": "Norms of the weights' gradients by layer",
    "weight_norm/": "Norms of the weights by layer",
    "update_ratio/": "The last step's update by the norm of the weights",
    "dead/": "Relu units that are 0 for every example",
    "saturated/": "Sigmoid and tanh units whose slope is below a twentieth of its largest",
}
_ENDINGS = dict.fromkeys(("gradient_norm/", "weight_norm/", "update_ratio/"), ".weight")


@dataclass(frozen=True)
class Picture:
    """A figure with its caption."""

    caption: str
    png: bytes

    @property
    def width(self) -> int:
        """In pixels of a page, of which a screen of high resolution has more: from the PNG's header."""
        return int.from_bytes(self.png[16:20]) * PAGE_PIXELS // PAGE_DPI


def draw(result: Result, checkpoint: Path | None) -> list[Picture]:
    """Curves of the runs, the mistakes, and the filters of the first two layers that have any.

    Parameters
    ----------
    result : Result
    checkpoint : Path, optional
        Of the chosen run.
    """
    pictures = []
    if curves := _curves({f"seed {run.seed}": run.history for run in result.runs[:_MOST_CURVES]}):
        pictures.append(Picture("Validation accuracy by epoch.", figure_png(curves)))
    if result.chosen is not None and any(record.measured for record in result.chosen.history.epochs):
        pictures += _diagnostics(result.chosen.history)
    if result.mistakes:
        pictures.append(_mistakes(result))
    if checkpoint is not None and not result.experiment.members:
        pictures += [Picture(caption, figure_png(figure)) for caption, figure in _filters(result, checkpoint)]
    return pictures


def draw_group(results: Sequence[Result]) -> list[Picture]:
    """The chosen runs of several experiments in one picture: their curves, and what they come to."""
    chosen = {result.experiment.name: result.chosen for result in results}
    histories = {name: run.history for name, run in chosen.items() if run is not None}
    tests = {name: 100 * run.test for name, run in chosen.items() if run is not None and run.test is not None}
    pictures = []
    if curves := _curves(dict(list(histories.items())[:_MOST_CURVES])):
        pictures.append(Picture("Validation accuracy by epoch, of the chosen runs.", figure_png(curves)))
    watched = {
        name: history for name, history in histories.items() if any(r.measured for r in history.epochs)
    }
    if 1 < len(watched) <= MOST_PANELS:
        gradients = plot_measured(watched, "gradient_norm/", ending=".bias")
        pictures.append(Picture("Norms of the biases' gradients by layer.", figure_png(gradients)))
    if len(tests) > 2:
        values = plot_values(tests, "test accuracy (%)")
        pictures.append(Picture("Test accuracy of the chosen runs.", figure_png(values)))
    return pictures


def _curves(histories: Mapping[str, History]) -> Figure | None:
    measured = {
        name: history
        for name, history in histories.items()
        if any(record.validation_accuracy is not None for record in history.epochs)
    }
    return plot_curves(measured) if measured else None


def _diagnostics(history: History) -> Iterator[Picture]:
    """Of a run that was watched by `isograd.training.Diagnostics`."""
    if any(record.validation_cost is not None for record in history.epochs):
        yield Picture(
            "Training against validation, of the chosen run.", figure_png(plot_overfitting(history))
        )
    for prefix, caption in _MEASURED.items():
        ending = _ENDINGS.get(prefix, "")
        names = {n for r in history.epochs for n in r.measured if n.startswith(prefix) and n.endswith(ending)}
        if names:
            figure = plot_measured(history, prefix, ending=ending)
            yield Picture(f"{caption}, of the chosen run.", figure_png(figure))


def _mistakes(result: Result) -> Picture:
    test = load_dataset(result.run.data.source, validation_size=result.run.data.validation_size).test
    assert test is not None
    given = test.labels.copy()
    for mistake in result.mistakes:
        given[mistake.index] = mistake.given
    count = len(result.mistakes)
    shown = f"the first {_MOST_MISTAKES} of {count:,}" if count > _MOST_MISTAKES else f"all {count:,}"
    figure = plot_errors(test, given.astype(np.int32), columns=11, limit=_MOST_MISTAKES)
    return Picture(
        f"Test images that are classified wrongly ({shown}): the right class top right, the given one "
        "bottom right.",
        figure_png(figure),
    )


def _filters(result: Result, checkpoint: Path) -> Iterator[tuple[str, Figure]]:
    network = result.run.trained_network(checkpoint)
    paths = [path for path, spec in network.architecture.parameters.items() if len(spec.shape) == 4]
    for path in paths[:2]:
        weight = network.parameters[path]
        caption = f"The {len(weight)} filters of layer {path.partition('.')[0]}: the darker, the larger."
        yield caption, plot_filters(weight)
