"""Numbers that show how training goes wrong: overfitting, vanishing and exploding gradients, dead units."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt

from isograd import random
from isograd.architecture import Architecture
from isograd.costs import row_costs, target_variables
from isograd.data import Dataset, as_dataset
from isograd.data.expanded import Expanded
from isograd.evaluation import Parts, accuracy, forward_rows, mean_cost, on_device, parameter_gradients
from isograd.graph import Function, Tensor, argmax, simplify
from isograd.layers import Layer, functions
from isograd.training.callbacks import Callback, Progress
from isograd.training.checks import checked_seed, whole
from isograd.training.gaps import TRAINING_ACCURACY, TRAINING_COST
from isograd.training.plan import checked_data
from isograd.training.step import GRADIENT

# Below which share of its largest value an activation's derivative counts as saturated.
SATURATED = 0.05

_LARGEST, _SATURATED = "largest/", "saturated/"

# The derivative by its largest value (1/4 and 1), in terms of the activation itself.
_RELATIVE_DERIVATIVE: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": lambda a: 4 * a * (1 - a),
    "tanh": lambda a: 1 - a * a,
}


class Diagnostics(Callback):
    """Measures, after each epoch and on a fixed sample of the training data, for `EpochRecord.measured`.

    All of it in mode "evaluate", without dropout and with running statistics, by the run's backend; training
    is the same to the last bit with and without it.

    "training_accuracy", "training_cost"
        As `validation_accuracy` and `validation_cost`, on the sample.
    "gradient_norm/PATH", "weight_norm/PATH"
        Of each parameter: the Euclidean norm of the gradient of "training_cost", without regularisation, and
        of the parameter itself. Squares are added in double precision.
    "update_ratio/PATH"
        The norm of the change of the parameter in the epoch's last step of `mini_batch_size` rows, by its
        norm before. It is left out where that is 0, and in the epoch of a resumed run that went on after
        that step.
    "dead/LAYER"
        Of a layer whose activation is "relu": the fraction of its units that are 0 for every example of the
        sample. A unit is one number of an example's output: of a convolution one position of a map, after the
        pooling in the case of a `ConvPool`.
    "saturated/LAYER"
        Of a layer whose activation is "sigmoid" or "tanh": the fraction of pairs of unit and example where
        the activation's derivative is below 5 percent of its largest value.

    Parameters
    ----------
    training_data : Dataset, (inputs, labels) or `isograd.data.expanded` of one of them
        Usually that of the run. Augmentation does not change it.
    examples : int
        How many the sample has, at least 1; all in their own order where there are not more.
    seed : int
        Of the sample: by it the same examples are drawn on every backend (`isograd.random`, "sample").

    Attributes
    ----------
    sample : Dataset

    Raises
    ------
    ArgumentError, ArgumentTypeError, ShapeError
        If an argument is not as described; at the start of a run, if the data do not fit its network.
    """

    def __init__(self, training_data: Any, examples: int = 1000, seed: int = 0) -> None:
        data = training_data if isinstance(training_data, Expanded) else as_dataset(training_data)
        self.sample = _sample(data, whole("examples", examples, 1), checked_seed(seed))
        self._parts: Parts | None = None
        self._before: dict[str, npt.NDArray[Any]] | None = None
        self._update_ratios: dict[str, float] = {}

    def ends(self, steps: int, full_steps: int) -> tuple[int, ...]:
        return (full_steps - 1,) if full_steps > 1 else ()

    def on_start(self, progress: Progress) -> None:
        architecture = progress.network.architecture
        sample = checked_data(architecture, self.sample, "the training_data of Diagnostics")
        self._parts = Parts(lambda rows: _function(architecture, sample, rows), sample, progress.choice)
        # A callback may serve several runs, one after the other.
        self._before, self._update_ratios = None, {}
        self._follow(progress)

    def on_chunk(self, progress: Progress) -> None:
        self._follow(progress)

    def measure(self, progress: Progress) -> dict[str, float]:
        network = progress.network
        assert self._parts is not None
        state = on_device(network.checked_arrays(), progress.choice)
        measured = self._measured(network.architecture, self._parts(state))
        measured |= {f"weight_norm/{path}": _norm(array) for path, array in network.parameters.items()}
        measured |= self._update_ratios
        self._update_ratios = {}
        if progress.full_steps == 1:
            self._before = _copies(progress)  # the next epoch begins with its last full step
        return measured

    def _follow(self, progress: Progress) -> None:
        """Keep the parameters from before the epoch's last full step, and after it how far they went."""
        if progress.step == progress.full_steps - 1:
            self._before = _copies(progress)
        elif progress.step == progress.full_steps and self._before is not None:
            self._update_ratios = _update_ratios(self._before, progress.network.parameters)
            self._before = None

    def _measured(
        self, architecture: Architecture, parts: list[dict[str, npt.NDArray[Any]]]
    ) -> dict[str, float]:
        def by_example(name: str) -> npt.NDArray[Any]:
            return np.concatenate([part[name].reshape(-1) for part in parts])

        n = len(self.sample)
        measured: dict[str, float] = {}
        if "class" in parts[0]:
            measured[TRAINING_ACCURACY] = accuracy(self.sample, by_example("class"))
        measured[TRAINING_COST] = mean_cost(by_example("cost"))
        for path in architecture.parameters:
            total = sum(part[GRADIENT + path].sum(axis=0, dtype=np.float64) for part in parts)
            measured[f"gradient_norm/{path}"] = _norm(total / n)
        for name, shape in zip(architecture.names, architecture.shapes, strict=True):
            units = math.prod(shape)
            if _LARGEST + name in parts[0]:
                largest = np.max([part[_LARGEST + name].max(axis=0) for part in parts], axis=0)
                measured[f"dead/{name}"] = int(np.count_nonzero(largest == 0)) / units
            if _SATURATED + name in parts[0]:
                pairs = by_example(_SATURATED + name).sum(dtype=np.float64)
                measured[f"saturated/{name}"] = float(pairs) / (units * n)
        return measured


def _function(architecture: Architecture, data: Dataset, rows: int) -> Function:
    """What is measured on some rows of resident data; inputs as in `evaluation.evaluation_function`.

    Outputs: "cost" and, for a cost of classes, "class" (rows,); "gradient/PATH" of the sum of the costs;
    "largest/LAYER" (*shape), the largest value of each unit; "saturated/LAYER" (rows,), how many units of an
    example are.
    """
    inputs, state, layers = forward_rows(architecture, data, len(data), rows)
    inputs |= target_variables(data, len(data))
    costs = row_costs(architecture.cost, layers[-1], inputs)
    outputs = {"cost": costs}
    if architecture.cost.targets == "classes":
        outputs["class"] = argmax(layers[-1], axis=1)
    gradients = parameter_gradients(architecture, costs.sum(), state)
    outputs |= {GRADIENT + path: gradient for path, gradient in gradients.items()}
    for name, layer, a in zip(architecture.names, architecture.layers, layers, strict=True):
        activation = _activation(layer)
        if activation == "relu":
            outputs[_LARGEST + name] = a.max(0)
        elif activation in _RELATIVE_DERIVATIVE:
            saturated = _RELATIVE_DERIVATIVE[activation](a) < SATURATED
            # Sums of ones are exact: no layer has 2**24 units.
            outputs[_SATURATED + name] = saturated.cast(a.dtype).sum(tuple(range(1, a.ndim)))
    return simplify(Function(inputs, outputs, state))


def _activation(layer: Layer) -> str | None:
    """The name of the activation that a layer ends with; None without one, or if it has no name."""
    for field in fields(layer):
        if field.metadata.get(functions.KIND) == "activation":
            value = getattr(layer, field.name)
            return value if isinstance(value, str) else None
    return None


def _sample(data: Dataset | Expanded, examples: int, seed: int) -> Dataset:
    n = len(data)
    chosen = np.arange(n, dtype=np.int32)
    if examples < n:
        words = random.words(seed, "diagnostics", "", count=n)
        chosen = np.argsort(words, kind="stable")[:examples].astype(np.int32)
    if not isinstance(data, Expanded):
        return data.take(chosen)
    base, rows = data.base, data.rows(chosen)
    return Dataset(
        data.images(chosen),
        base.labels[rows],
        scale=base.scale,
        classes=base.classes,
        weights=None if base.weights is None else base.weights[rows],
    )


def _copies(progress: Progress) -> dict[str, npt.NDArray[Any]]:
    return {path: array.copy() for path, array in progress.network.parameters.items()}


def _update_ratios(
    before: Mapping[str, npt.NDArray[Any]], after: Mapping[str, npt.NDArray[Any]]
) -> dict[str, float]:
    ratios: dict[str, float] = {}
    for path, old in before.items():
        norm = _norm(old)
        if norm:
            ratios[f"update_ratio/{path}"] = _norm(after[path].astype(np.float64) - old) / norm
    return ratios


def _norm(array: npt.NDArray[Any]) -> float:
    """The Euclidean norm of an array of any shape, in double precision."""
    return float(np.linalg.norm(array.astype(np.float64).reshape(-1)))
