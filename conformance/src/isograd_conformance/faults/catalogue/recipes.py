"""Faults in what a recipe of today adds to training: words of core's source exchanged."""

from __future__ import annotations

from typing import Any

import numpy as np

from isograd import CrossEntropy, Dataset, FullyConnected, Network, Quadratic, Softmax
from isograd.backend import Backend
from isograd.training import CosineDecay, Triangular
from isograd_conformance.faults.catalogue.training import DERIVED, LAYERS, PLAN, RUN, STEP, contract
from isograd_conformance.faults.fault import Fault, Witness
from isograd_conformance.faults.patching import Patch
from isograd_conformance.faults.witness import small_layers, trained
from isograd_conformance.strategies.networks import every_kind_of_layer, toy_digits

NORMALISE = LAYERS + "normalisation:BatchNorm."
SCHEDULES, STATE = "isograd.training.schedules:", "isograd.training.state:"
PREDICTION = "isograd.evaluation.prediction:"


def normalised(**options: Any) -> Witness:
    """A run of a network with batch normalisation, whose last mini-batch is a single row."""
    return trained(rows=11, layers=every_kind_of_layer, **options)


def at_rates(eta: Any) -> Witness:
    """What a run with a schedule by step makes of a network."""

    def look(backend: Backend) -> object:
        net = Network(small_layers(), (1, 12, 12), seed=1)
        net.SGD(toy_digits(), 2, 5, eta, backend=backend)
        return {path: array.tobytes() for path, array in net.parameters.items()}

    return look


def costed(backend: Backend) -> object:
    """What a run makes of networks with costs of values, of examples with weights."""
    rng = np.random.default_rng(0)
    data = Dataset(rng.random((6, 3), np.float32), rng.random((6, 2), np.float32), weights=np.arange(6))
    found = []
    for cost in (Quadratic(), CrossEntropy()):
        net = Network([FullyConnected(2, "linear")], (3,), cost=cost)
        net.SGD(data, 1, 4, 0.5, backend=backend)
        found += [array.tobytes() for array in net.parameters.values()]
    return found


def averaged(backend: Backend) -> object:
    """What a run with averages that is resumed reports, and the network and its best epoch after it."""
    net, data = Network(every_kind_of_layer(), (1, 12, 12), seed=1), toy_digits()
    for first in (True, False):
        history = net.SGD(
            data, 2, 5, 0.5, data,
            averaging=0.75, max_steps=3 if first else None, resume=not first, backend=backend,
        )  # fmt: skip
    assert net.training is not None
    kept = ({**net.parameters, **net.state}, net.training.arrays, net.training.best or {})
    costs = [record.validation_cost for record in history.epochs]
    return costs, [{name: array.tobytes() for name, array in arrays.items()} for arrays in kept]


def over_shifts(backend: Backend) -> object:
    """The probabilities over shifts of images."""
    net = Network([Softmax(4, weight_init="n_in")], (1, 12, 12), seed=1)
    return net.predict_proba(toy_digits(), backend=backend, shifts=1).tobytes()


FAULTS: tuple[Fault, ...] = (
    # Batch normalisation
    contract(
        "the running variance is the biased one",
        normalised(),
        Patch(NORMALISE + "build", "squares / (n - 1)", "squares / n"),
    ),
    contract(
        "batches are normalised by the unbiased variance",
        trained(layers=every_kind_of_layer),
        Patch(NORMALISE + "build", "squares / n +", "squares / max(n - 1, 1) +"),
    ),
    contract(
        "running statistics keep the batch's share",
        normalised(),
        Patch(
            NORMALISE + "build",
            "(1 - self.momentum) * running[name] + self.momentum * value",
            "self.momentum * running[name] + (1 - self.momentum) * value",
        ),
    ),
    contract(
        "epsilon outside the root",
        trained(layers=every_kind_of_layer),
        Patch(NORMALISE + "build", "sqrt(squares / n + self.epsilon)", "(sqrt(squares / n) + self.epsilon)"),
    ),
    contract(
        "evaluation normalises by the batch",
        normalised(),
        Patch(NORMALISE + "build", 'mode == "evaluate"', 'mode == "never"'),
    ),
    contract(
        "a single value has a variance",
        normalised(),
        Patch(
            NORMALISE + "build",
            'if n > 1:\n        batch["running_variance"] = squares / (n - 1)',
            'if n:\n        batch["running_variance"] = squares / max(n - 1, 1)',
        ),
    ),
    contract(
        "scales of batch normalisation decay",
        normalised(),
        Patch(NORMALISE + "parameters", "regularised=False", "regularised=True"),
    ),
    # Label smoothing
    contract(
        "smoothing ignored",
        trained(label_smoothing=0.1),
        Patch(STEP + "step_graph", "label_smoothing=options.label_smoothing", "label_smoothing=0.0"),
    ),
    contract(
        "smoothing spread over the other classes alone",
        trained(label_smoothing=0.1),
        Patch(
            DERIVED + "log_likelihood", "label_smoothing / z.shape[1]", "label_smoothing / (z.shape[1] - 1)"
        ),
    ),
    contract(
        "smoothing leaves the label its whole weight",
        trained(label_smoothing=0.1),
        Patch(DERIVED + "log_likelihood", "(1 - label_smoothing) * chosen", "chosen"),
    ),
    # Costs
    contract(
        "weights of examples ignored",
        costed,
        Patch("isograd.costs.rows:row_costs", "if WEIGHTS in inputs", "if not inputs"),
        likely="test_costs",
    ),
    contract(
        "the whole square of the distance",
        costed,
        Patch("isograd.costs.known:Quadratic.build", "0.5 * _over_outputs", "_over_outputs"),
        likely="test_costs",
    ),
    contract(
        "cross-entropy of the wrong sign",
        costed,
        Patch("isograd.costs.known:CrossEntropy.build", "- targets * outputs", "+ targets * outputs"),
        likely="test_costs",
    ),
    # Weight decay
    contract(
        "weight decay in the cost",
        trained(weight_decay=0.05),
        Patch(STEP + "step_graph", "0.5 * options.decay", "0.5 * (options.decay + options.weight_decay)"),
    ),
    contract(
        "weight decay divided by the steps",
        trained(weight_decay=0.05),
        Patch(PLAN + "Plan.options", "self.weight_decay", "self.weight_decay / self.steps"),
    ),
    contract(
        "weight decay in the place of L2",
        trained(weight_decay=0.05),
        Patch(
            STEP + "_updates",
            "options.decay + options.weight_decay",
            "options.weight_decay or options.decay",
        ),
    ),
    # Schedules by step
    contract(
        "a step has the rate of a later place",
        at_rates(Triangular(0.1, 2)),
        Patch(SCHEDULES + "StepSchedule.__call__", "step + 0.5", "step + 0.75"),
    ),
    contract(
        "every epoch begins the schedule anew",
        at_rates(Triangular(0.1, 2)),
        Patch(SCHEDULES + "StepSchedule.__call__", "epoch * steps + step", "step"),
    ),
    contract(
        "the way down as if there were no way up",
        at_rates(Triangular(0.1, 2, warm_up=0.5)),
        Patch(SCHEDULES + "Triangular.at", "(1 - share) / (1 - self.warm_up)", "(1 - share)"),
    ),
    contract(
        "a cosine of half the length",
        at_rates(CosineDecay(0.1, 2)),
        Patch(SCHEDULES + "CosineDecay.at", "math.pi * share", "math.pi * share / 2"),
    ),
    contract(
        "all steps of a chunk have the rate of its first",
        at_rates(Triangular(0.1, 2)),
        Patch(
            RUN + "Run._draws",
            "chunk.first_step : chunk.first_step + chunk.steps",
            "[chunk.first_step] * chunk.steps",
        ),
    ),
    # Averages
    contract(
        "the shares of an average exchanged",
        averaged,
        Patch(STEP + "_averages", "1 - options.averaging", "options.averaging"),
    ),
    contract(
        "averages of the values before the step",
        averaged,
        Patch(STEP + "_averages", "after.get(path, w) - a", "w - a"),
    ),
    contract(
        "averages begin at 0",
        averaged,
        Patch(
            RUN + "Run._first_state",
            "arrays[name.removeprefix(AVERAGE)].copy()",
            "0 * arrays[name.removeprefix(AVERAGE)]",
        ),
    ),
    contract(
        "averages beside statistics that are none",
        averaged,
        Patch(
            STATE + "evaluated",
            "arrays.get(AVERAGE + path, arrays[path])",
            "arrays.get(AVERAGE + path if path in architecture.parameters else path, arrays[path])",
        ),
    ),
    contract(
        "averages kept, but not evaluated",
        averaged,
        Patch(
            RUN + "Run._evaluate",
            "evaluated(self._network.architecture, self._state)",
            "{path: self._state[path] for path in self._network.architecture.array_shapes}",
        ),
    ),
    contract(
        "the best parameters are no averages",
        averaged,
        Patch(
            RUN + "Run._finish_epoch",
            "evaluated(self._network.architecture, now.arrays)",
            "{path: now.arrays[path] for path in self._network.architecture.array_shapes}",
        ),
    ),
    contract(
        "a resumed run begins its averages anew",
        averaged,
        Patch(
            RUN + "Run._next_state",
            "replace(before, ",
            "replace(before, arrays={n: before.arrays[n.removeprefix(AVERAGE)] for n in before.arrays}, ",
        ),
    ),
    # Shifts
    contract(
        "shifts to the side alone",
        over_shifts,
        Patch(
            PREDICTION + "_mean_predicted",
            "np.arange(down, down + height",
            "np.arange(shifts, shifts + height",
        ),
        likely="test_shifts",
    ),
    contract(
        "the mean over shifts without the image itself",
        over_shifts,
        Patch(
            PREDICTION + "_mean_predicted",
            'outputs["predicted"].sum(axis=0, dtype=np.float64)',
            'outputs["predicted"][np.arange(ways) != (shifts if down == shifts else -1)].sum(axis=0)',
        ),
        likely="test_shifts",
    ),
)
