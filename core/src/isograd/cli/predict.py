"""The command `isograd predict`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isograd.cli.evaluate import (
    BackendOption,
    BestOption,
    CheckpointArgument,
    DataOption,
    ShiftsOption,
    Split,
    SplitOption,
    load_split,
)
from isograd.cli.folders import checkpoint_file
from isograd.cli.output import JsonOption, percent, print_json, print_rows
from isograd.cli.threads import one_thread
from isograd.errors import ArgumentError

if TYPE_CHECKING:
    from isograd.data import Dataset
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
    backend: BackendOption = None,
    shifts: ShiftsOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Classify one image with a trained network.

    An image file is made grey (or RGB for a network with three channels), stretched to the network's input
    and scaled as all bytes are, by 1/256; what is transparent becomes white. MNIST's digits are light on
    dark: a photograph of ink on paper needs --invert.
    """
    if (image is None) == (index is None):
        raise typer.BadParameter("expected either IMAGE or --index")
    if image is None and invert:
        raise typer.BadParameter("--invert is for IMAGE")
    from isograd.network import Network

    path = checkpoint_file(checkpoint)
    network = Network.load(path, best=best)
    if image is None:
        example = _example(load_split(data, split, path), index or 0)
        label = example.class_name(int(example.labels[0]))
    else:
        example, label = _from_file(image, network, invert), None
    _show(network, example, label, backend, shifts, as_json)


def _example(dataset: Dataset, index: int) -> Dataset:
    if index >= len(dataset):
        raise ArgumentError(f"--index is {index}; the data have {len(dataset):,} examples, from 0")
    return dataset[index : index + 1]


def _from_file(image: Path, network: Network, invert: bool) -> Dataset:
    from isograd.cli.images import read_image
    from isograd.data import Dataset

    return Dataset(read_image(image, network.input_shape, invert=invert), [0], scale=1 / 256)


def _show(
    network: Network, example: Dataset, label: str | None, backend: str | None, shifts: int, as_json: bool
) -> None:
    from isograd.backend_choice import choose_backend

    with one_thread(choose_backend(backend).backend):
        found = network.predict_proba(example, backend=backend, shifts=shifts)
        probabilities = [float(p) for p in found[0]]
    winner = max(range(len(probabilities)), key=probabilities.__getitem__)
    names = [example.class_name(number) for number in range(len(probabilities))]
    if as_json:
        print_json(
            **{
                "class": names[winner],
                "label": label,
                "probabilities": dict(zip(names, probabilities, strict=True)),
            }
        )
        return
    from rich.progress_bar import ProgressBar

    print(names[winner] + ("" if label is None else f" (label {label})") + "\n")
    print_rows(
        [
            {"class": name, "probability": percent(p), "": ProgressBar(total=1, completed=p, width=40)}
            for name, p in zip(names, probabilities, strict=True)
        ],
        as_json,
    )
