"""The command `isograd predict`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isograd.cli.evaluate import load_split
from isograd.cli.folders import model_file
from isograd.cli.models import Vote, VoteOption, load_model
from isograd.cli.options import (
    BackendOption,
    BestOption,
    CheckpointArgument,
    DataOption,
    ShiftsOption,
    Split,
    SplitOption,
)
from isograd.cli.output import JsonOption, percent, print_json, print_rows, print_text
from isograd.cli.threads import one_thread
from isograd.errors import ArgumentError

if TYPE_CHECKING:
    from isograd.data import Dataset
    from isograd.ensemble import Ensemble
    from isograd.network import Network


def predict(
    checkpoint: CheckpointArgument,
    image: Annotated[
        Path | None,
        typer.Argument(metavar="IMAGE", help="An image file; needs Pillow, the extra isograd\\[images]."),
    ] = None,
    invert: Annotated[
        bool,
        typer.Option(
            "--invert",
            help="Swap dark and light: for ink on paper, where the network knows light strokes on dark.",
        ),
    ] = False,
    index: Annotated[
        int | None, typer.Option(min=0, help="In place of IMAGE: an example of a data set, from 0.")
    ] = None,
    data: DataOption = None,
    split: SplitOption = Split.test,
    best: BestOption = False,
    vote: VoteOption = None,
    backend: BackendOption = None,
    shifts: ShiftsOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Classify one image with a trained network or an ensemble.

    Of a network whose cost is of values, this prints the values.

    An image file is made grey (or RGB for a network with three channels), stretched to the network's input
    and scaled as all bytes are, by 1/256; what is transparent becomes white. MNIST's digits are light on
    dark: a photograph of ink on paper needs --invert.
    """
    if (image is None) == (index is None):
        raise typer.BadParameter("expected either IMAGE or --index")
    if image is None and invert:
        raise typer.BadParameter("--invert is for IMAGE")
    from isograd.network import Network

    path = model_file(checkpoint)
    model = load_model(path, best, vote)
    if image is None:
        example = _example(load_split(data, split, path), index or 0)
        label = example.class_name(int(example.labels[0])) if example.has_classes else None
    else:
        example, label = _from_file(image, model.input_shape, invert), None
    if isinstance(model, Network) and not model.architecture.cost.probabilities:
        _show_prediction(model, example, backend, shifts, label, as_json)
        return
    _show(_answer(model, example, vote or Vote.plurality, backend, shifts), example, label, as_json)


def _example(dataset: Dataset, index: int) -> Dataset:
    if index >= len(dataset):
        raise ArgumentError(f"--index is {index}; the data have {len(dataset):,} examples, from 0")
    return dataset[index : index + 1]


def _from_file(image: Path, input_shape: Sequence[int], invert: bool) -> Dataset:
    from isograd.cli.images import read_image
    from isograd.data import Dataset

    return Dataset(read_image(image, input_shape, invert=invert), [0], scale=1 / 256)


@dataclass(frozen=True)
class _Answer:
    """What is said of one example: its class, each class's probability and, by an ensemble, votes."""

    winner: int
    probabilities: list[float]
    votes: list[int] | None = None


def _answer(
    model: Network | Ensemble, example: Dataset, vote: Vote, backend: str | None, shifts: int
) -> _Answer:
    from isograd.backend_choice import choose_backend
    from isograd.ensemble import Ensemble

    with one_thread(choose_backend(backend).backend):
        if isinstance(model, Ensemble):
            ballot = model.ballot(example, backend=backend, shifts=shifts)
            winner = int(ballot.decision(vote.value)[0])
            return _Answer(winner, ballot.probabilities[0].tolist(), ballot.counts()[0].tolist())
        found = model.predict_proba(example, backend=backend, shifts=shifts)
    probabilities = [float(p) for p in found[0]]
    return _Answer(max(range(len(probabilities)), key=probabilities.__getitem__), probabilities)


def _show_prediction(
    network: Network, example: Dataset, backend: str | None, shifts: int, label: str | None, as_json: bool
) -> None:
    """Of a network without probabilities: the class, or the values."""
    from isograd.backend_choice import choose_backend

    with one_thread(choose_backend(backend).backend):
        (found,) = network.predict(example, backend=backend, shifts=shifts)
    if network.architecture.cost.targets == "values":
        if as_json:
            print_json(predicted=found.tolist(), label=label)
        else:
            print_text(" ".join(f"{value:.6g}" for value in found.reshape(-1).tolist()))
        return
    winner = example.class_name(int(found))
    if as_json:
        print_json(**{"class": winner, "label": label})
    else:
        print_text(winner + ("" if label is None else f" (label {label})"))


def _show(answer: _Answer, example: Dataset, label: str | None, as_json: bool) -> None:
    names = [example.class_name(number) for number in range(len(answer.probabilities))]
    winner = names[answer.winner]
    if as_json:
        found: dict[str, Any] = {"class": winner, "label": label}
        found["probabilities"] = dict(zip(names, answer.probabilities, strict=True))
        if answer.votes is not None:
            found["votes"] = dict(zip(names, answer.votes, strict=True))
        print_json(**found)
        return
    from rich.progress_bar import ProgressBar

    print_text(winner + ("" if label is None else f" (label {label})") + "\n")
    rows: list[dict[str, Any]] = []
    for number, (name, p) in enumerate(zip(names, answer.probabilities, strict=True)):
        votes = {} if answer.votes is None else {"votes": answer.votes[number]}
        bar = ProgressBar(total=1, completed=p, width=40)
        rows.append({"class": name, **votes, "probability": percent(p), "": bar})
    print_rows(rows, as_json)
