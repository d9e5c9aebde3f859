"""A network as an ONNX file: probabilities and class of any number of examples."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from isograd import __version__
from isograd.architecture import Architecture, describe_layer
from isograd.costs import Cost
from isograd.data.files import file_name, write_whole
from isograd.errors import ArgumentError, ArgumentTypeError
from isograd.graph import FLOATING, Tensor, argmax, as_dtype, variable
from isograd.graph.simplify import simplify_tensors
from isograd.layers import to_json
from isograd.network import Network
from isograd.onnx.graph import library
from isograd.onnx.model import graph_model
from isograd.onnx.operations import Owner
from isograd.training.checks import number

INPUT = "input"
# Of the nodes that make outputs of the last layer's weighted inputs.
_HEAD = Owner("outputs", "the outputs")
_INPUT_DTYPES = FLOATING | {"uint8"}


def export(
    network: Network,
    path: str | os.PathLike[str],
    *,
    input_dtype: str | None = None,
    scale: float = 1.0,
    classes: Sequence[str] | None = None,
) -> None:
    """Write a network as an ONNX file, whole or not at all. See `Network.to_onnx`."""
    shown = file_name(path)
    model = network_model(network, input_dtype=input_dtype, scale=scale, classes=classes)
    write_whole(Path(shown), model.SerializeToString())


def network_model(
    network: Network,
    *,
    input_dtype: str | None = None,
    scale: float = 1.0,
    classes: Sequence[str] | None = None,
) -> Any:
    """The onnx.ModelProto that `Network.to_onnx` writes; parameters and errors are explained there."""
    library()
    dtype = _checked_dtype(network.dtype if input_dtype is None else input_dtype)
    scale = number("scale", scale, above=0)
    architecture = network.architecture
    names = _checked_classes(classes, architecture)
    metadata = _metadata(network) | {"scale": repr(scale)}
    if names is not None:
        metadata["classes"] = json.dumps(names)

    def build(rows: int) -> dict[str, tuple[Owner, Tensor]]:
        return network_outputs(architecture, variable(INPUT, (rows, *architecture.input_shape), dtype), scale)

    return graph_model(build, network.checked_arrays(), metadata, output_names(architecture.cost))


def output_names(cost: Cost) -> tuple[str, ...]:
    """What the model's outputs are called; the first is what the cost makes of the network's outputs."""
    if cost.targets == "values":
        return ("values",)
    return ("probabilities" if cost.probabilities else "scores", "class")


def network_outputs(architecture: Architecture, x: Tensor, scale: float) -> dict[str, tuple[Owner, Tensor]]:
    """The network in mode "evaluate" on rows of data: each layer's output, and those of `output_names`.

    With each tensor comes its owner, the layer or what makes the outputs. Simplified together, so that what
    layers share is shared.
    """
    state = architecture.variables()
    layers, _ = architecture.forward(architecture.read(x, scale), state, state, "evaluate", {})
    z = layers[-1]
    owners = {
        describe_layer(name, layer): Owner(name, describe_layer(name, layer))
        for name, layer in zip(architecture.names, architecture.layers, strict=True)
    }
    named = dict(zip(owners, layers, strict=True))
    predicted, *others = output_names(architecture.cost)
    named[predicted] = architecture.cost.predicted(z)
    if others:
        named["class"] = argmax(z, axis=1)
    tensors = simplify_tensors(list(named.values()))
    return {name: (owners.get(name, _HEAD), tensor) for name, tensor in zip(named, tensors, strict=True)}


def _metadata(network: Network) -> dict[str, str]:
    """What the network is, as texts; without its layers, if a function has no registered name."""
    described = {
        "isograd": __version__,
        "input_shape": json.dumps(network.input_shape),
        "dtype": network.dtype,
    }
    with suppress(ArgumentError, ArgumentTypeError):
        described["layers"] = to_json(network.layers)
    return described


def _checked_dtype(value: str) -> str:
    dtype = as_dtype(value, "input_dtype")
    if dtype not in _INPUT_DTYPES:
        raise ArgumentTypeError(f"input_dtype is {dtype}; expected {', '.join(sorted(_INPUT_DTYPES))}")
    return dtype


def _checked_classes(classes: Sequence[str] | None, architecture: Architecture) -> list[str] | None:
    if classes is None:
        return None
    if architecture.cost.targets != "classes":
        raise ArgumentError(f"classes is {classes!r}; the cost {architecture.cost!r} is of values")
    (count,) = architecture.output_shape
    if isinstance(classes, str) or not isinstance(classes, Sequence):
        raise ArgumentTypeError(f"classes is {classes!r}; expected a list of names")
    if not all(isinstance(name, str) for name in classes):
        raise ArgumentTypeError(f"classes is {classes!r}; expected names as str")
    if len(classes) != count or len(set(classes)) != count:
        raise ArgumentError(f"classes is {classes!r}; expected {count} different names, one for each class")
    return list(classes)
