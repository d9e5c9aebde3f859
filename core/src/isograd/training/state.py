"""Everything that a run needs to go on from where it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from isograd.architecture import Architecture
from isograd.graph.tensor import Shape
from isograd.training.history import History
from isograd.training.step import VELOCITY

Arrays = dict[str, npt.NDArray[Any]]


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
        Parameters and layer state by path, velocities by "velocity/PATH". Never written to.
    best : dict of path to ndarray, optional
        Parameters and layer state at the best validation accuracy; None without validation so far.
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


def all_finite(arrays: Arrays) -> bool:
    """Whether no array holds a NaN or an infinity."""
    return all(bool(np.isfinite(array).all()) for array in arrays.values())
