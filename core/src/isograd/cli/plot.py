"""The command `isograd plot`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isograd.cli.evaluate import load_split
from isograd.cli.folders import CHECKPOINT, model_file
from isograd.cli.models import Vote, VoteOption, check_one_network, load_model
from isograd.cli.options import BackendOption, BestOption, DataOption, Split, SplitOption
from isograd.cli.output import JsonOption, print_json, print_text
from isograd.cli.threads import one_thread
from isograd.errors import ArgumentError, UnsupportedError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from matplotlib.figure import Figure

    from isograd.data import Dataset
    from isograd.ensemble import Ensemble
    from isograd.network import Network
    from isograd.training import History


class Kind(StrEnum):
    filters = "filters"
    errors = "errors"
    curves = "curves"
    confusion = "confusion"
    gradients = "gradients"
    overfitting = "overfitting"


SEVERAL = (Kind.curves, Kind.gradients)


class Quantity(StrEnum):
    validation_accuracy = "validation_accuracy"
    validation_cost = "validation_cost"
    test_accuracy = "test_accuracy"
    cost = "cost"


def plot(
    kind: Annotated[Kind, typer.Argument(help="What to draw.")],
    checkpoints: Annotated[
        list[Path],
        typer.Argument(
            metavar="CHECKPOINT...",
            help="A checkpoint, or the folder of its run; for curves and gradients, one or more. "
            "For errors and confusion also an ensemble.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A file .png, .pdf or .svg; by default KIND.png in this folder."),
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="For filters: the layer's name or position; by default the first with filters.",
        ),
    ] = None,
    quantity: Annotated[
        Quantity, typer.Option(help="For curves: what to draw by epoch.")
    ] = Quantity.validation_accuracy,
    array: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="For gradients: with respect to which array of each layer, such as weight. Layers of one "
            "size compare best by their biases.",
        ),
    ] = "bias",
    limit: Annotated[
        int | None, typer.Option(min=1, help="For errors: show only the first so many; by default 100.")
    ] = None,
    data: DataOption = None,
    split: SplitOption = Split.test,
    best: BestOption = False,
    vote: VoteOption = None,
    backend: BackendOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw filters, errors, curves, gradients, overfitting or the confusion matrix of trained networks.

    Gradients are the norms of each layer's, by epoch; they and overfitting, training against validation,
    need a run with --diagnostics.

    A file of that name is replaced. Needs matplotlib, the extra isograd\\[plot].
    """
    from isograd.figures import plot_confusion, plot_errors, plot_filters, plot_overfitting, write_figure
    from isograd.network import Network

    target = out or Path(f"{kind.value}.png")
    paths = [model_file(path) for path in checkpoints]
    if kind not in (Kind.errors, Kind.confusion):
        for path in paths:
            check_one_network(path, kind.value)
    if len(paths) > 1 and kind not in SEVERAL:
        raise typer.BadParameter(f"{kind.value} takes one CHECKPOINT; only curves and gradients take more")
    if kind in SEVERAL:
        figure = _by_epoch(kind, _histories(paths), quantity, array)
    elif kind is Kind.overfitting:
        (history,) = _histories(paths).values()
        figure = plot_overfitting(history)
    elif kind is Kind.filters:
        network = Network.load(paths[0], best=best)
        figure = plot_filters(network.parameters[_filter_path(network, layer)])
    else:
        model = load_model(paths[0], best, vote)
        dataset = load_split(data, split, paths[0])
        predicted = _predictions(model, dataset, vote or Vote.plurality, backend)
        if kind is Kind.errors:
            figure = plot_errors(dataset, predicted, limit=limit or 100)
        else:
            figure = plot_confusion(dataset.labels, predicted, names=dataset.classes)
    write_figure(figure, target)
    if as_json:
        print_json(kind=kind.value, file=str(target))
    else:
        print_text(str(target))


def _by_epoch(kind: Kind, histories: dict[str, History], quantity: Quantity, array: str) -> Figure:
    from isograd.figures import plot_curves, plot_measured

    if kind is Kind.curves:
        return plot_curves(histories, quantity.value)
    return plot_measured(histories, "gradient_norm/", ending=f".{array}")


def _histories(paths: list[Path]) -> dict[str, History]:
    """The history of each checkpoint by the name of its run."""
    from isograd.training import checkpoint

    histories: dict[str, History] = {}
    for path in paths:
        training = checkpoint.read(path).training
        if training is None:
            raise ArgumentError(f"{path} holds a network without a run; there are no epochs to draw")
        # A run's folder tells runs apart better than the file, which always has the same name.
        name = path.absolute().parent.name if path.name == CHECKPOINT else path.stem
        if name in histories:
            name = str(path)
        if name in histories:
            raise ArgumentError(f"{path} is given twice")
        histories[name] = training.history
    return histories


def _filter_path(network: Network, layer: str | None) -> str:
    """The path of the weight of the layer that was named, or of the first one with filters."""
    found = {
        path.partition(".")[0]: path
        for path, spec in network.architecture.parameters.items()
        if path.endswith(".weight") and len(spec.shape) == 4
    }
    if layer is None and found:
        return next(iter(found.values()))
    if layer is None or layer not in found:
        present = f"layers with filters are {', '.join(found)}" if found else "no layer has filters"
        raise ArgumentError(f"--layer is {layer!r}; {present}")
    return found[layer]


def _predictions(
    model: Network | Ensemble, dataset: Dataset, vote: Vote, backend: str | None
) -> npt.NDArray[np.int32]:
    from isograd.backend_choice import choose_backend
    from isograd.ensemble import Ensemble

    if not dataset.has_classes:
        raise UnsupportedError("the labels of these data are values; errors and confusions are of classes")
    with one_thread(choose_backend(backend).backend):
        if isinstance(model, Ensemble):
            return model.predict(dataset, vote.value, backend=backend)
        return model.predict(dataset, backend=backend)
