"""The command `isograd export`."""

from __future__ import annotations

from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from isograd.cli.folders import model_file
from isograd.cli.models import check_one_network
from isograd.cli.options import BestOption, CheckpointArgument
from isograd.cli.output import JsonOption, print_json, print_text


class InputDtype(StrEnum):
    float32 = "float32"
    float64 = "float64"
    uint8 = "uint8"


# What `isograd predict` scales the bytes of an image file by.
_OF_BYTES = 1 / 256


def _number(text: str) -> float:
    try:
        return float(Fraction(text))
    except (ValueError, ZeroDivisionError, OverflowError):
        raise typer.BadParameter(f"{text!r} is no number such as 0.5 or 1/256") from None


def export(
    checkpoint: CheckpointArgument,
    onnx: Annotated[Path, typer.Option("--onnx", metavar="FILE", help="The ONNX file to write.")],
    best: BestOption = False,
    input_dtype: Annotated[
        InputDtype | None,
        typer.Option(help="What the model takes; by default numbers of the network's dtype."),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(
            parser=_number,
            metavar="X|X/Y",
            help="What the model multiplies its input by; by default 1/256 for uint8, else 1.",
        ),
    ] = None,
    classes: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="The classes' names, for the file's metadata.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a trained network as an ONNX file.

    Input "input" (batch, *input_shape), for any batch; outputs "probabilities" and "class". A file of that
    name is replaced. Needs onnx, the extra isograd\\[onnx].
    """
    from isograd.network import Network

    path = model_file(checkpoint)
    check_one_network(path, "isograd export")
    network = Network.load(path, best=best)
    if scale is None:
        scale = _OF_BYTES if input_dtype is InputDtype.uint8 else 1.0
    dtype = network.dtype if input_dtype is None else input_dtype.value
    names = None if classes is None else classes.split(",")
    network.to_onnx(onnx, input_dtype=dtype, scale=scale, classes=names)
    if as_json:
        print_json(file=str(onnx), input_shape=network.input_shape, input_dtype=dtype, scale=scale)
    else:
        print_text(str(onnx))
