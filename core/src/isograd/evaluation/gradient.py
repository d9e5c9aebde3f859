"""The gradient of the cost of a whole data set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from isograd.architecture import Architecture
from isograd.backend import Array
from isograd.backend_choice import BackendChoice
from isograd.costs import row_costs, target_variables
from isograd.data import Dataset
from isograd.evaluation.functions import forward_rows, parameter_gradients
from isograd.evaluation.resident import Parts
from isograd.graph import Function, simplify


def gradients(
    architecture: Architecture, data: Dataset, choice: BackendChoice, state: Mapping[str, Array]
) -> dict[str, npt.NDArray[Any]]:
    """The gradient of the mean cost of a data set, in mode "evaluate", by parameter path.

    Each has the parameter's shape and the network's dtype. The parts of the data set are added in double
    precision.
    """
    parts = Parts(lambda rows: _gradient_function(architecture, data, rows), data, choice)
    totals = {path: np.zeros(spec.shape) for path, spec in architecture.parameters.items()}
    for outputs in parts(state):
        for path, total in totals.items():
            total += outputs[path].sum(axis=0, dtype=np.float64)
    return {path: (total / len(data)).astype(architecture.dtype) for path, total in totals.items()}


def _gradient_function(architecture: Architecture, data: Dataset, rows: int) -> Function:
    """The gradient of the *sum* of the costs of some rows of resident data; an output for each parameter."""
    inputs, state, layers = forward_rows(architecture, data, len(data), rows)
    inputs |= target_variables(data, len(data))
    cost = row_costs(architecture.cost, layers[-1], inputs).sum()
    return simplify(Function(inputs, parameter_gradients(architecture, cost, state), state))
