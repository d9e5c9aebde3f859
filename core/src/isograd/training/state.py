"""Everything that a run needs to go on from where it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from isograd.architecture import Architecture
from isograd.graph.tensor import Shape
from isograd.training.history import History
from isograd.training.step import AVERAGE, VELOCITY

Arrays = dict[str, npt.NDArray[Any]]

T = TypeVar("T")


@dataclass
class TrainingState:
    """A run between two steps.

    Attributes
    ----------
    epoch, step : int
        Of the next step; both from 0.
    cost_sum, seconds : float
        Over the steps of this epoch that are done.
    arrays : dict of str to ndarray
        Parameters and layer state by path, velocities by "velocity/PATH", averages of both of the former by
        "average/PATH". Never written to.
    best : dict of path to ndarray, optional
        Parameters and layer state, with averaging their averages, at the best validation accuracy; None
        without validation so far.
    history : History
    agreement : dict of str
        What a run that continues must have in common (`Plan.agreement`).
    backend : dict of str to str
        The name, version and device of the backend that computed it, and its "execution" of a step
        (`Backend.execution`).
    """

    epoch: int
    step: int
    cost_sum: float
    seconds: float
    arrays: Arrays
    best: Arrays | None
    history: History
    agreement: dict[str, Any]
    backend: dict[str, str]


def velocity_shapes(architecture: Architecture, momentum: float) -> dict[str, Shape]:
    """The shapes of the velocities by name; none without momentum."""
    if not momentum:
        return {}
    return {VELOCITY + path: spec.shape for path, spec in architecture.parameters.items()}


def average_shapes(architecture: Architecture, averaging: float) -> dict[str, Shape]:
    """The shapes of the averages by name; none without averaging."""
    if not averaging:
        return {}
    return {AVERAGE + path: shape for path, shape in architecture.array_shapes.items()}


def evaluated(architecture: Architecture, arrays: Mapping[str, T]) -> dict[str, T]:
    """What a run's network has, by path: the averages where there are any, else the arrays themselves."""
    return {path: arrays.get(AVERAGE + path, arrays[path]) for path in architecture.array_shapes}


def all_finite(arrays: Arrays) -> bool:
    """Whether no array holds a NaN or an infinity."""
    return all(bool(np.isfinite(array).all()) for array in arrays.values())
