"""One training step as a `Function`: gather the rows, go forward, move every parameter along its gradient.

With the gradient g of the cost, the learning rate eta and momentum mu, each parameter w and its velocity v:

- plain (the listing): w' = w - eta * g.
- momentum (Polyak, "Some methods of speeding up the convergence of iteration methods", 1964):
  v' = mu * v - eta * g and w' = w + v'.
- Nesterov's (Sutskever, Martens, Dahl and Hinton, "On the importance of initialization and momentum in deep
  learning", ICML 2013, equations 3 and 4): v' = mu * v - eta * g(w + mu * v) and w' = w + v'. What is kept
  as the parameter is u = w + mu * v, where the gradient is taken (Bengio, Boulanger-Lewandowski and Pascanu,
  "Advances in optimizing recurrent networks", ICASSP 2013, equation 7): v' = mu * v - eta * g(u) and
  u' = u + mu * v' - eta * g(u). Where eta does not change that is PyTorch's form too, v = -eta * buffer.

All are computed from the old values and applied at once.

With averaging d each parameter, and each array of layer state, has an average a beside it (Polyak and
Juditsky, "Acceleration of stochastic approximation by averaging", 1992; here with exponential weights, as in
Tarvainen and Valpola, "Mean teachers are better role models", NIPS 2017, section 2). It begins as the array
does and takes no part in the step: a' = a + (1 - d) * (w' - a), with w' the array's new value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from isograd.architecture import Architecture
from isograd.backend import Array, Backend, Executable, one_by_one
from isograd.costs import row_costs, target_variables
from isograd.data import Dataset
from isograd.graph import Function, Tensor, gather, grad, simplify, variable

VELOCITY = "velocity/"
AVERAGE = "average/"
MASK = "mask/"
IMAGES = "images"
GRADIENT = "gradient/"


@dataclass(frozen=True)
class StepOptions:
    """The constants of a step.

    Attributes
    ----------
    mini_batch_size : int
        What the sum of the rows' costs is divided by, in a partial last batch too.
    decay : float
        lmbda / m, with m the number of steps of an epoch; 0 leaves the L2 term out.
    momentum : float
        mu; 0 keeps no velocities.
    nesterov : bool
    weight_decay : float
        What is added to `decay` in the gradients, and not in the cost.
    label_smoothing : float
        As in `graph.log_likelihood`.
    averaging : float
        d; 0 keeps no averages.
    """

    mini_batch_size: int
    decay: float = 0.0
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    averaging: float = 0.0


@dataclass(frozen=True)
class StepGraph:
    """The forward half of a step.

    Attributes
    ----------
    architecture : Architecture
    options : StepOptions
    inputs : dict of str to Tensor
        Resident: "inputs" (n, *features), "labels" (int32 (n,), for a cost of values floating) and, where the
        data have weights, "weights" (n,). Changing from step to step: "rows" int32
        (rows,), "mask/PATH" bool (rows, *shape). Where the host makes the images: "images" (rows, *features),
        changing from step to step, instead of "inputs".
    state : dict of path to Tensor
        Parameters and layer state.
    outputs : list of Tensor
        Of every layer, in mode "train".
    data_cost : Tensor
        The sum over the rows of the network's cost, its labels smoothed, times the example's weight, by
        mini_batch_size; shape ().
    cost : Tensor
        `data_cost` + 0.5 * decay * sum(w^2) over the regularised parameters; shape ().
    new_state : dict of path to Tensor
    """

    architecture: Architecture
    options: StepOptions
    inputs: dict[str, Tensor]
    state: dict[str, Tensor]
    outputs: list[Tensor]
    data_cost: Tensor
    cost: Tensor
    new_state: dict[str, Tensor]

    @property
    def parameters(self) -> dict[str, Tensor]:
        return {path: self.state[path] for path in self.architecture.parameters}

    def gradients(self) -> dict[str, Tensor]:
        """The gradient of the data cost with respect to each parameter."""
        parameters = self.parameters
        return dict(zip(parameters, grad(self.data_cost, list(parameters.values())), strict=True))


def step_graph(
    architecture: Architecture, data: Dataset, rows: int, options: StepOptions, made: str | None = None
) -> StepGraph:
    """The forward half of a step on `rows` examples; of `data` only shape, dtype and scale are used.

    `made` is the dtype of images that the host makes for each step; None gathers them from resident data.
    """
    inputs = target_variables(data, len(data)) | {"rows": variable("rows", (rows,), "int32")}
    masks = {
        path: variable(MASK + path, (rows, *spec.shape), "bool") for path, spec in architecture.masks.items()
    }
    state = architecture.variables()
    if made is None:
        inputs["inputs"] = variable("inputs", data.inputs.shape, data.inputs.dtype.name)
        images = gather(inputs["inputs"], inputs["rows"])
    else:
        images = inputs[IMAGES] = variable(IMAGES, (rows, *data.feature_shape), made)
    x = architecture.read(images, data.scale)
    outputs, new_state = architecture.forward(x, state, state, "train", masks)
    costs = row_costs(architecture.cost, outputs[-1], inputs, label_smoothing=options.label_smoothing)
    data_cost = cost = costs.sum() / options.mini_batch_size
    for path, spec in architecture.parameters.items():
        if options.decay and spec.regularised:
            cost = cost + (state[path] * state[path]).sum() * (0.5 * options.decay)
    inputs |= {mask.name: mask for mask in masks.values()}
    return StepGraph(architecture, options, inputs, state, outputs, data_cost, cost, new_state)


def step_function(graph: StepGraph) -> Function:
    """The whole step: output "cost", and updates of parameters, velocities, layer state and averages.

    Beside those of the graph it has the input "eta", shape (). The term decay * w, the gradient of the L2
    cost, is added to the data cost's gradient as such: half the work of deriving it. To it comes
    weight_decay * w, which is the gradient of no part of the cost: (decay + weight_decay) * w, the sum of the
    two rounded once.
    """
    eta = _eta(graph.architecture)
    velocities = _velocities(graph.architecture, graph.options)
    updates = _updates(
        graph.architecture, graph.options, graph.parameters, graph.gradients(), velocities, eta
    )
    updates = graph.new_state | updates
    averages, averaged = _averages(graph.options, graph.state, updates)
    return simplify(
        Function(
            {**graph.inputs, "eta": eta},
            {"cost": graph.cost},
            graph.state | {v.name: v for v in velocities.values()} | averages,
            updates | averaged,
        )
    )


class NativeStep:
    """The same step by the backend's own differentiation: its gradient function, then the updates.

    Parameters
    ----------
    gradients : Executable
        Of `gradient_function`, compiled with the native gradient of "data_cost" with respect to every
        parameter.
    updates : Executable
        Of `update_function`.
    """

    def __init__(self, gradients: Executable, updates: Executable) -> None:
        self._gradients = gradients
        self._updates = updates

    @property
    def function(self) -> Function:
        return self._gradients.function

    @property
    def device(self) -> str:
        return self._gradients.device

    def __call__(
        self, inputs: Mapping[str, Array], state: Mapping[str, Array]
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        before = {name: state[name] for name in self._gradients.function.state}
        given = {name: inputs[name] for name in self._gradients.function.inputs}
        outputs, after = self._gradients(given, before)
        # The updates are of the old parameters; the layers' new state comes from the gradient's run.
        gradients = {name: outputs[name] for name in self._updates.function.inputs if name != "eta"}
        held = {name: state[name] for name in self._updates.function.state}
        _, moved = self._updates({**gradients, "eta": inputs["eta"]}, held)
        return {"cost": outputs["cost"]}, {**after, **moved}


def run_steps(
    backend: Backend,
    executable: Executable,
    state: Mapping[str, Array],
    resident: Mapping[str, Array],
    per_step: Mapping[str, Array],
    steps: int,
) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Array]]:
    """`backend.run_steps`; one by one for a `NativeStep`, which is no executable of the backend's own."""
    if isinstance(executable, NativeStep):
        return one_by_one(backend, executable, state, resident, per_step, steps)
    return backend.run_steps(executable, state, resident, per_step, steps)


def execution(backend: Backend, executable: Executable) -> str:
    """`backend.execution`, or its default for a `NativeStep`."""
    return "" if isinstance(executable, NativeStep) else backend.execution(executable)


def gradient_function(graph: StepGraph) -> Function:
    """What a native gradient is taken of: outputs "cost" and "data_cost", and updates of the layer state.

    The averages of the layer state are updated here, those of the parameters where these are. It is not
    simplified: `stop_gradient` means something to who differentiates it.
    """
    outputs = {"cost": graph.cost, "data_cost": graph.data_cost}
    layer_state = {path: graph.state[path] for path in graph.architecture.state}
    averages, averaged = _averages(graph.options, layer_state, graph.new_state)
    return Function(graph.inputs, outputs, graph.state | averages, graph.new_state | averaged)


def update_function(architecture: Architecture, options: StepOptions) -> Function:
    """The second half of a native step: inputs "eta" and "gradient/PATH", updates as in `step_function`."""
    eta = _eta(architecture)
    variables = architecture.variables()
    parameters = {path: variables[path] for path in architecture.parameters}
    gradients = {
        path: variable(GRADIENT + path, w.shape, architecture.dtype) for path, w in parameters.items()
    }
    velocities = _velocities(architecture, options)
    updates = _updates(architecture, options, parameters, gradients, velocities, eta)
    averages, averaged = _averages(options, parameters, updates)
    return simplify(
        Function(
            {g.name: g for g in gradients.values()} | {"eta": eta},
            {},
            parameters | {v.name: v for v in velocities.values()} | averages,
            updates | averaged,
        )
    )


def _eta(architecture: Architecture) -> Tensor:
    return variable("eta", (), architecture.dtype)


def _velocities(architecture: Architecture, options: StepOptions) -> dict[str, Tensor]:
    if not options.momentum:
        return {}
    return {
        path: variable(VELOCITY + path, spec.shape, architecture.dtype)
        for path, spec in architecture.parameters.items()
    }


def _updates(
    architecture: Architecture,
    options: StepOptions,
    parameters: Mapping[str, Tensor],
    gradients: Mapping[str, Tensor],
    velocities: Mapping[str, Tensor],
    eta: Tensor,
) -> dict[str, Tensor]:
    decay = options.decay + options.weight_decay
    updates: dict[str, Tensor] = {}
    for path, w in parameters.items():
        g = gradients[path]
        if decay and architecture.parameters[path].regularised:
            g = g + decay * w
        if not options.momentum:
            updates[path] = w - eta * g
            continue
        v = options.momentum * velocities[path] - eta * g
        updates[VELOCITY + path] = v
        updates[path] = w + options.momentum * v - eta * g if options.nesterov else w + v
    return updates


def _averages(
    options: StepOptions, before: Mapping[str, Tensor], after: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The averages of some arrays, and their updates, by name; `after` has the arrays that change."""
    if not options.averaging:
        return {}, {}
    averages = {AVERAGE + path: variable(AVERAGE + path, w.shape, w.dtype) for path, w in before.items()}
    share = 1 - options.averaging
    updates: dict[str, Tensor] = {}
    for path, w in before.items():
        a = averages[AVERAGE + path]
        updates[AVERAGE + path] = a + share * (after.get(path, w) - a)
    return averages, updates
