"""A network, and a run in progress if there is one, as a file.

The arrays are named as in a run's state: parameters and layer state by path, velocities "velocity/PATH",
averages "average/PATH"; and what was evaluated at the best validation accuracy "best/PATH". The document (see
`tensor_file`) is

    {"format": 1, "isograd": VERSION,
     "network": {"layers": ..., "input_shape": ..., "dtype": ..., "seed": ..., "init": ..., "cost": ...},
     "training": null, or {"epoch": ..., "step": ..., "cost_sum": ..., "seconds": ..., "best": true or false,
                           "history": ..., "agreement": ..., "backend": ...}}

with the entries as `Network` and `TrainingState` explain them. "cost" is left out where it is
`LogLikelihood()`, as in files of earlier versions.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from isograd import __version__, costs
from isograd.architecture import Architecture
from isograd.data.files import file_name
from isograd.errors import ArgumentError, FileFormatError
from isograd.graph.tensor import Shape
from isograd.layers import (
    InitialiserLike,
    initialiser_from_data,
    initialiser_to_data,
    layers_from_data,
    layers_to_data,
)
from isograd.training import schedules, tensor_file
from isograd.training.checks import checked_seed, number, whole
from isograd.training.history import History
from isograd.training.plan import ADDED, AGREEMENT, Plan
from isograd.training.state import Arrays, TrainingState, average_shapes, evaluated, velocity_shapes

if TYPE_CHECKING:
    from isograd.network import Network

FORMAT = 1
BEST = "best/"

T = TypeVar("T")


@dataclass(frozen=True)
class Contents:
    """What a file holds.

    Attributes
    ----------
    architecture : Architecture
    seed : int
    init : str, Initialiser or callable
    arrays : dict of path to ndarray
        Parameters and layer state; of a run with averaging, their averages.
    training : TrainingState, optional
    """

    architecture: Architecture
    seed: int
    init: InitialiserLike
    arrays: Arrays
    training: TrainingState | None


def prepare(path: Path, network: Network, plan: Plan) -> None:
    """Refuse, before training starts, what could not be written when it is due.

    Raises
    ------
    ArgumentError
        If an activation, initialiser or schedule has no registered name.
    FileAccessError
        If nothing can be written at that path.
    """
    schedules.to_data(plan.eta)
    network_to_data(network)
    tensor_file.check_writable(path)


def write(path: str | os.PathLike[str], network: Network, training: TrainingState | None = None) -> None:
    """The network, or the run that is training it, as a file that replaces one of that name.

    Raises
    ------
    ArgumentError
        If a function has no registered name.
    FileAccessError
        If the file can not be written.
    """
    document = {
        "format": FORMAT,
        "isograd": __version__,
        "network": network_to_data(network),
        "training": None if training is None else _training_to_data(training),
    }
    arrays = network.checked_arrays() if training is None else training.arrays
    if training is not None and training.best is not None:
        arrays = arrays | {BEST + path: array for path, array in training.best.items()}
    tensor_file.write(Path(file_name(path)), document, arrays)


def read(path: str | os.PathLike[str]) -> Contents:
    """What `write` wrote.

    Raises
    ------
    FileAccessError
        If the file can not be read.
    FileFormatError
        If it is no such file, is truncated or corrupted, has a newer format, or an entry is not as it should
        be; the message names it.
    """
    return tensor_file.read_as(path, FORMAT, _contents)


def check_same_arrays(path: str | os.PathLike[str], contents: Contents, architecture: Architecture) -> None:
    """Refuse a file whose arrays differ in path, shape or dtype; the error names the first difference."""
    arrays, shapes = contents.arrays, architecture.array_shapes
    for name in [*shapes, *(name for name in arrays if name not in shapes)]:
        here = f"{architecture.dtype} {list(shapes[name])}" if name in shapes else "missing"
        there = f"{arrays[name].dtype} {list(arrays[name].shape)}" if name in arrays else "missing"
        if here != there:
            raise ArgumentError(f"{file_name(path)}: {name} is {there}; in this network it is {here}")


def network_to_data(network: Network) -> dict[str, Any]:
    """A network without its arrays, as an entry of a document.

    Raises
    ------
    ArgumentError
        If an activation, initialiser or cost has no registered name.
    """
    cost = network.architecture.cost
    return {
        "layers": layers_to_data(network.layers),
        "input_shape": list(network.input_shape),
        "dtype": network.dtype,
        "seed": network.seed,
        "init": initialiser_to_data(network.init),
        **({} if cost == costs.LogLikelihood() else {"cost": costs.to_data(cost)}),
    }


def network_from_data(what: str, data: object) -> Contents:
    """What `network_to_data` wrote, still without arrays; `what` names the entry in errors.

    Raises
    ------
    FileFormatError, ArgumentError, ArgumentTypeError
        If it is no network; no memory was used for arrays then.
    """
    names = ("layers", "input_shape", "dtype", "seed", "init", "cost")
    network = check_keys(what, data, names, optional=("cost",))
    architecture = Architecture(
        layers_from_data(network["layers"]),
        typed("input_shape", network["input_shape"], list),
        typed("dtype", network["dtype"], str),
        costs.from_data(network["cost"]) if "cost" in network else costs.LogLikelihood(),
    )
    return Contents(
        architecture, checked_seed(network["seed"]), initialiser_from_data(network["init"]), {}, None
    )


def check_arrays(arrays: Arrays, shapes: Mapping[str, Shape], dtype: str) -> None:
    """Refuse (FileFormatError) arrays that are not exactly those of `shapes`, of that dtype."""
    for name in [*shapes, *sorted(arrays.keys() - shapes.keys())]:
        if name not in arrays:
            raise FileFormatError(f"the array {name} is missing")
        if name not in shapes:
            raise FileFormatError(f"the array {name} belongs to nothing in this network")
        if arrays[name].shape != shapes[name]:
            raise FileFormatError(f"{name} has shape {arrays[name].shape}; expected {shapes[name]}")
        if arrays[name].dtype != dtype:
            raise FileFormatError(f"{name} is {arrays[name].dtype}; expected {dtype}")


def check_keys(
    what: str, data: object, names: tuple[str, ...], optional: Collection[str] = ()
) -> Mapping[str, Any]:
    """`data`, an object with these keys and no others; else FileFormatError, in which `what` names it."""
    if not isinstance(data, Mapping):
        raise FileFormatError(f"{what} is {type(data).__name__}; expected an object with {', '.join(names)}")
    if not set(names) - set(optional) <= set(data) <= set(names):
        raise FileFormatError(f"{what} has {', '.join(data) or 'nothing'}; expected {', '.join(names)}")
    return data


def typed(name: str, value: object, kind: type[T]) -> T:
    """`value`, of that type; else FileFormatError."""
    if not isinstance(value, kind):
        raise FileFormatError(f"{name} is {value!r}; expected {kind.__name__}")
    return value


def _contents(document: Mapping[str, Any], arrays: Arrays) -> Contents:
    if "networks" in document:
        raise FileFormatError("holds an ensemble, not one network; isograd.Ensemble.load reads it")
    check_keys("the document", document, ("format", "isograd", "network", "training"))
    described = network_from_data("network", document["network"])
    architecture = described.architecture
    shapes: dict[str, Shape] = dict(architecture.array_shapes)
    paths = list(shapes)
    training = document["training"]
    if training is not None:
        names = ("epoch", "step", "cost_sum", "seconds", "best", "history", "agreement", "backend")
        check_keys("training", training, names)
        agreement = _agreement(training)
        momentum, averaging = (
            number(name, agreement[name], least=0, below=1) for name in ("momentum", "averaging")
        )
        shapes |= velocity_shapes(architecture, momentum) | average_shapes(architecture, averaging)
        if typed("best", training["best"], bool):
            shapes |= {BEST + path: shapes[path] for path in paths}
    check_arrays(arrays, shapes, architecture.dtype)
    return replace(
        described,
        arrays=evaluated(architecture, arrays),
        training=None if training is None else _training_from_data(training, arrays),
    )


def _training_to_data(training: TrainingState) -> dict[str, Any]:
    return {
        "epoch": training.epoch,
        "step": training.step,
        "cost_sum": training.cost_sum,
        "seconds": training.seconds,
        "best": training.best is not None,
        "history": training.history.to_data(),
        "agreement": training.agreement,
        "backend": training.backend,
    }


def _training_from_data(data: Mapping[str, Any], arrays: Arrays) -> TrainingState:
    history = History.from_data(data["history"])
    epoch = whole("epoch", typed("epoch", data["epoch"], int), 0)
    if epoch != len(history.epochs):
        raise FileFormatError(f"epoch is {epoch}, but the history has {len(history.epochs)}")
    backend = check_keys("backend", data["backend"], ("name", "version", "device", "execution"))
    best = {name.removeprefix(BEST): a for name, a in arrays.items() if name.startswith(BEST)}
    return TrainingState(
        epoch=epoch,
        step=whole("step", typed("step", data["step"], int), 0),
        cost_sum=number("cost_sum", data["cost_sum"]),
        seconds=number("seconds", data["seconds"], least=0),
        arrays={name: array for name, array in arrays.items() if not name.startswith(BEST)},
        best=best or None,
        history=history,
        agreement=_agreement(data),
        backend={name: typed(f"backend {name}", value, str) for name, value in backend.items()},
    )


def _agreement(training: Mapping[str, Any]) -> dict[str, Any]:
    """The entry "agreement", in a file of an earlier isograd with what runs did then."""
    return {**ADDED, **check_keys("agreement", training["agreement"], AGREEMENT, ADDED)}
