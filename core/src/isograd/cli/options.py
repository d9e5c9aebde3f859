"""The arguments and options that several commands have."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from isograd.runs import presets


class Split(StrEnum):
    training = "training"
    validation = "validation"
    test = "test"


def run_names(incomplete: str) -> list[str]:
    """The presets that begin so."""
    return [name for name in presets() if name.startswith(incomplete)]


DATA_HELP = "A data set (isograd data), a folder with the MNIST files, or a file .npz, .pkl or .pkl.gz"

RunArgument = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A TOML file, a preset's name (isograd presets) or a run's folder.",
        autocompletion=run_names,
    ),
]
CheckpointArgument = Annotated[
    Path,
    typer.Argument(metavar="CHECKPOINT", help="A checkpoint, an ensemble's file, or the folder of either."),
]
BestOption = Annotated[
    bool,
    typer.Option("--best", help="Take the parameters of the best validation accuracy instead of the last."),
]
BackendOption = Annotated[
    str | None,
    typer.Option(metavar="NAME[:DEVICE]", help="What computes (isograd backends). Else ISOGRAD_BACKEND."),
]
DataOption = Annotated[
    str | None,
    typer.Option(metavar="NAME|PATH", help=f"{DATA_HELP}; by default that of the run."),
]
SplitOption = Annotated[Split, typer.Option(help="Which part of the data.")]
ShiftsOption = Annotated[
    int,
    typer.Option(
        min=0, metavar="K", help="Take the mean over all shifts of an image by up to K pixels; default 0."
    ),
]
