"""Faults in the training contract: words of core's source exchanged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from isograd import Callback, Convolution, Network, Softmax
from isograd import graph as G
from isograd.backend import Backend
from isograd.backend_choice import BackendChoice
from isograd.evaluation import Evaluator
from isograd.graph import Function, Tensor
from isograd_conformance.faults.fault import Fault, Witness
from isograd_conformance.faults.patching import Patch, patched
from isograd_conformance.faults.witness import small_layers, trained
from isograd_conformance.strategies.networks import every_kind_of_layer, toy_digits

STEP, DRAWS, RUN, PLAN = (f"isograd.training.{name}:" for name in ("step", "draws", "run", "plan"))
RULES, DERIVED, SIMPLIFY = (f"isograd.graph.{name}:" for name in ("gradient", "derived", "simplify"))
LAYERS = "isograd.layers."


def contract(name: str, witness: Witness, *patches: Patch, likely: str = "test_contract") -> Fault:
    """A fault of core."""
    dtypes = frozenset({"float32", "int32", "uint8", "bool"})
    return Fault(name, "training", patched(*patches), witness, (likely, "test_training"), dtypes)


class Often(Callback):
    """Has a chunk end after every step."""

    every = 1


def resumed(stop: int) -> Witness:
    """A run that was stopped, saved, loaded and resumed."""

    def look(backend: Backend) -> object:
        net = Network(small_layers(), (1, 12, 12), seed=1)
        settings: dict[str, Any] = {"momentum": 0.5, "backend": backend}
        with TemporaryDirectory() as folder:
            path = Path(folder, "run.safetensors")
            net.SGD(toy_digits(), 2, 5, 0.1, max_steps=stop, checkpoint=path, **settings)
            again = Network.load(path)
        again.SGD(toy_digits(), 2, 5, 0.1, resume=True, **settings)
        return {name: array.tobytes() for name, array in again.parameters.items()}

    return look


def initial(init: str = "chapter") -> Witness:
    """The weights that a network begins with."""
    return lambda backend: {
        name: array.tobytes()
        for name, array in Network(every_kind_of_layer(), (1, 12, 12), 1, init=init).parameters.items()
    }


def evaluated(backend: Backend) -> object:
    """The cost of each example, and the predictions, in mode "evaluate"."""
    net, data = Network(every_kind_of_layer(), (1, 12, 12), 1), toy_digits()
    choice = BackendChoice(backend, backend.devices()[0])
    evaluator = Evaluator(net.architecture, data, choice, ("cost",))
    arrays = {n: backend.to_device(a, choice.device) for n, a in {**net.parameters, **net.state}.items()}
    costs = evaluator(arrays)["cost"]
    return costs.tobytes(), np.asarray(net.predict(data, backend=backend)).tobytes()


def gradient_of(build: Callable[[Tensor], Tensor], *values: float) -> Witness:
    """The symbolic gradient of the sum of a function, rounded to three places."""

    def look(backend: Backend) -> object:
        x = G.variable("x", (len(values),), "float32")
        function = Function({"x": x}, {"g": G.grad(build(x).sum(), x)})
        executable = backend.compile(function, backend.devices()[0])
        given = backend.to_device(np.asarray(values, "float32"), backend.devices()[0])
        return np.round(backend.to_host(executable({"x": given}, {})[0]["g"]), 3).tolist()

    return look


def falling(epoch: int) -> float:
    """A learning rate that halves."""
    return 0.1 * 0.5**epoch


def with_falling_rate(backend: Backend) -> object:
    """The learning rates of a run whose rate is a function of the epoch."""
    net = Network(small_layers(), (1, 12, 12), seed=1)
    history = net.SGD(toy_digits(), 2, 5, falling, backend=backend)
    return [record.eta for record in history.epochs], net.parameters["1.weight"].tobytes()


def of_equals(backend: Backend) -> object:
    """In which epochs of a run that changes next to nothing the test accuracy is taken."""
    net, data = Network(small_layers(), (1, 12, 12), seed=1), toy_digits()
    history = net.SGD(data, 3, 5, 1e-6, data, data, backend=backend)
    assert len({record.validation_accuracy for record in history.epochs}) == 1
    return [record.test_accuracy is None for record in history.epochs]


def _strided_same() -> list[Any]:
    return [Convolution(2, 3, stride=2, padding="same"), Softmax(4, weight_init="n_in")]


FAULTS: tuple[Fault, ...] = (
    # The step
    contract(
        "L2 without its half", trained(), Patch(STEP + "step_graph", "0.5 * options.decay", "options.decay")
    ),
    contract(
        "twice the gradient of L2",
        trained(),
        Patch(STEP + "_updates", "decay * w", "2.0 * decay * w"),
    ),
    contract(
        "L2 on biases",
        trained(),
        Patch(STEP + "_updates", "decay and architecture.parameters[path].regularised", "decay"),
        Patch(STEP + "step_graph", "options.decay and spec.regularised", "options.decay"),
    ),
    contract(
        "L2 divided by the examples instead of the steps",
        trained(),
        Patch(PLAN + "Plan.options", "self.lmbda / self.steps", "self.lmbda / len(self.training)"),
    ),
    contract(
        "L2 divided by the full steps alone",
        trained(),
        Patch(PLAN + "Plan.options", "self.lmbda / self.steps", "self.lmbda / self.full_steps"),
    ),
    contract(
        "sum for mean over a batch",
        trained(),
        Patch(STEP + "step_graph", "costs.sum() / options.mini_batch_size", "costs.sum()"),
    ),
    contract(
        "a partial last batch weighs as much as a full one",
        trained(),
        Patch(STEP + "step_graph", "costs.sum() / options.mini_batch_size", "costs.mean()"),
    ),
    contract(
        "the sign of momentum",
        trained(),
        Patch(
            STEP + "_updates",
            "options.momentum * velocities[path] - eta * g",
            "-options.momentum * velocities[path] - eta * g",
        ),
    ),
    contract(
        "Nesterov's momentum as plain momentum",
        trained(nesterov=True),
        Patch(
            STEP + "_updates", "w + options.momentum * v - eta * g if options.nesterov else w + v", "w + v"
        ),
    ),
    contract(
        "the velocity keeps only the last gradient",
        trained(),
        Patch(STEP + "_updates", "updates[VELOCITY + path] = v", "updates[VELOCITY + path] = -eta * g"),
    ),
    contract(
        "parameters move by the old velocity",
        trained(),
        Patch(STEP + "_updates", "else w + v", "else w + velocities[path]"),
    ),
    contract("a step uphill", trained(momentum=0.0), Patch(STEP + "_updates", "w - eta * g", "w + eta * g")),
    contract(
        "half the weight of the label",
        trained(),
        Patch(DERIVED + "log_likelihood", "chosen = p", "chosen = 0.5 * p"),
    ),
    # What is drawn
    contract("shuffling ignored", trained(), Patch(DRAWS + "epoch_order", "if shuffle", "if not shuffle")),
    contract(
        "the same order in every epoch", trained(), Patch(DRAWS + "epoch_order", "epoch=epoch", "epoch=0")
    ),
    contract(
        "the same masks in every epoch", trained(), Patch(DRAWS + "draw", "epoch=chunk.epoch", "epoch=0")
    ),
    contract(
        "masks counted from the chunk's first step",
        trained(callbacks=[Often()]),
        Patch(DRAWS + "draw", "first_step=chunk.first_step", "first_step=0"),
    ),
    contract(
        "one mask stream for all layers",
        trained(),
        Patch(DRAWS + "draw", "            path,\n            epoch", '            "",\n            epoch'),
    ),
    contract(
        "the last rows counted by the partial batch",
        trained(),
        Patch(DRAWS + "draw", "chunk.first_step * mini_batch_size", "chunk.first_step * chunk.rows"),
    ),
    contract(
        "masks keep with the probability of dropping",
        trained(),
        Patch("isograd.random:keep_masks", "(1.0 - float(p_dropout))", "float(p_dropout)"),
    ),
    contract(
        "masks used the wrong way round",
        trained(),
        Patch(DERIVED + "dropout", "cast(mask, x.dtype)", "(1 - cast(mask, x.dtype))"),
    ),
    contract(
        "what a mask keeps is rescaled", trained(), Patch(DERIVED + "dropout", " if inverted else kept", "")
    ),
    contract(
        "a partial last batch dropped",
        trained(),
        Patch(PLAN + "Plan.last_rows", "0 if self.drop_last else", "0 *"),
    ),
    contract(
        "the learning rate of the first epoch for all",
        with_falling_rate,
        Patch(RUN + "Run._epoch", "plan.etas_in(number)", "plan.etas_in(0)"),
    ),
    # Initial values
    contract(
        "a softmax layer begins with random weights",
        initial(),
        Patch(LAYERS + "initialisers:initial_value", "initialiser.role", '"weight"'),
    ),
    contract(
        "initial weights by the other fan",
        initial(),
        Patch(
            LAYERS + "initialisers:ScaledNormal.draw",
            '"in": spec.fan_in, "out": spec.fan_out',
            '"out": spec.fan_in, "in": spec.fan_out',
        ),
    ),
    contract(
        "initial weights scaled by the variance",
        initial(),
        Patch(LAYERS + "initialisers:ScaledNormal.draw", "math.sqrt(self.gain / n)", "(self.gain / n)"),
    ),
    contract(
        "one stream of initial weights for all",
        initial(),
        Patch(LAYERS + "initialisers:ScaledNormal.draw", '"initialise", path', '"initialise", ""'),
    ),
    # Evaluation
    contract(
        "evaluation of dense layers not scaled",
        evaluated,
        Patch(LAYERS + "dense:_Dense._weighted_input", "z = z * (1 - self.p_dropout)", "z = z"),
    ),
    contract(
        "evaluation scaled by the probability of dropping",
        evaluated,
        Patch(LAYERS + "dense:_Dense._weighted_input", "(1 - self.p_dropout)", "self.p_dropout"),
    ),
    contract(
        "evaluation scales the bias too",
        evaluated,
        Patch(
            LAYERS + "dense:_Dense._weighted_input",
            "z = z * (1 - self.p_dropout)",
            "return self._plus_bias(z, params) * (1 - self.p_dropout)",
        ),
    ),
    contract(
        "evaluation of dropout layers not scaled",
        evaluated,
        Patch(LAYERS + "simple:Dropout.build", "x = x * (1 - self.p_dropout)", "x = x"),
    ),
    contract(
        "the last example evaluated as the one before",
        evaluated,
        Patch("isograd.evaluation:Evaluator.__init__", "np.int32(len(data) - 1)", "np.int32(len(data) - 2)"),
    ),
    contract(
        "the scale of a data set ignored",
        evaluated,
        Patch(
            "isograd.architecture:Architecture.read",
            "x if scale == 1 else x * constant(scale, self.dtype)",
            "x",
        ),
    ),
    contract(
        "the mean cost of an epoch over its full steps",
        trained(),
        Patch(RUN + "Run._finish_epoch", "now.cost_sum / plan.steps", "now.cost_sum / plan.full_steps"),
    ),
    contract(
        "test accuracy at the first of equally good epochs",
        of_equals,
        Patch("isograd.training.history:_not_worse", "score >= other", "score > other"),
    ),
    # Resuming
    contract(
        "a resumed run begins without velocities",
        resumed(3),
        Patch(
            RUN + "Run._next_state",
            "replace(before, ",
            "replace(before, arrays={n: a * (n[:9] != 'velocity/') for n, a in before.arrays.items()}, ",
        ),
    ),
    contract(
        "a resumed run begins its epoch anew",
        resumed(3),
        Patch(RUN + "Run._next_state", "replace(before, ", "replace(before, step=0, "),
    ),
    # Layers
    contract(
        "padding of 'same' on the other side",
        trained(layers=_strided_same),
        Patch(
            LAYERS + "convolution:Convolution.explicit_padding",
            "[total // 2, total - total // 2]",
            "[total - total // 2, total // 2]",
        ),
    ),
    contract(
        "an average over one side of the window",
        trained(layers=every_kind_of_layer),
        Patch(DERIVED + "average_pool2d", "(1 / (rows * columns))", "(1 / columns)"),
    ),
    contract(
        "L2 pooling without its guard",
        gradient_of(lambda x: G.safe_sqrt(x), 0.0, 4.0),
        Patch(DERIVED + "safe_sqrt", "p.sqrt(where(zero, 1, x))", "p.sqrt(x)"),
        likely="symbolic_gradients",
    ),
)
