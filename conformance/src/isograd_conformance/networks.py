"""The verdict on a training step of a network, layer by layer.

A bound carried through a whole network grows until it proves nothing. So the step is run with each layer's
output, and the gradient there, as further outputs, and every layer is judged forward and backward on the
backend's *own* values below and above it: each bound is one layer deep.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from isograd import Dataset, Network
from isograd import graph as G
from isograd.training.draws import Chunk, draw, epoch_order
from isograd.training.state import TrainingState
from isograd.training.step import MASK, VELOCITY, StepGraph, StepOptions, step_function, step_graph
from isograd_conformance.bounds import agree
from isograd_conformance.checks import hold, same
from isograd_conformance.strategies.arrays import normal
from isograd_conformance.subject import HostArray, HostArrays, Subject

# Names of the further outputs: of layer i, of the gradient there, and of the gradients of parameters.
OUTPUT, COTANGENT, GRADIENT = "output of layer ", "gradient at the output of layer ", "gradient of "


@dataclass(frozen=True)
class StepCase:
    """A training step with all that goes into it.

    Attributes
    ----------
    graph : StepGraph
    data : Dataset
    function : Function
        The step, with the outputs named above besides its own.
    inputs, state : dict of str to ndarray
    """

    graph: StepGraph
    data: Dataset
    function: G.Function
    inputs: dict[str, HostArray]
    state: dict[str, HostArray]


def first_step(
    net: Network, data: Dataset, rows: int, lmbda: float = 0.0, momentum: float = 0.0, nesterov: bool = False
) -> StepCase:
    """The first step of a run, as core draws its batch and masks; the velocities are not zero."""
    options = StepOptions(rows, lmbda / -(-len(data) // rows), momentum, nesterov and momentum > 0)
    graph = step_graph(net.architecture, data, rows, options)
    function = instrumented(graph)
    velocities = {name: v for name, v in function.state.items() if name.startswith(VELOCITY)}
    state = {**net.parameters, **net.state, **normal(net.seed % 2**32, velocities)}
    inputs = step_inputs(net, data, Chunk(0, 0, 1, rows), rows, 0.125)
    return StepCase(graph, data, function, inputs, {name: state[name] for name in function.state})


def step_inputs(
    net: Network, data: Dataset, chunk: Chunk, mini_batch_size: int, eta: float
) -> dict[str, HostArray]:
    """All inputs of the one step of a chunk: the data set, and what core draws for it."""
    order = epoch_order(net.seed, chunk.epoch, len(data), True)
    drawn = draw(net.architecture, net.seed, chunk, order, mini_batch_size, eta)
    return {"inputs": data.inputs, "labels": data.labels, **{name: a[0] for name, a in drawn.items()}}


def hold_step(
    subject: Subject, net: Network, data: Dataset, plan: StepPlan, before: TrainingState, after: HostArrays
) -> None:
    """Fail unless `after` is what one step of a run makes of its state `before`, within the bound.

    Parameters
    ----------
    subject : Subject
        Of whose arithmetic the bound is.
    net : Network
    data : Dataset
    plan : StepPlan
    before : TrainingState
        Not at the end of an epoch.
    after : mapping of name to ndarray
        Parameters, velocities and layer state, by the names of the state.
    """
    first = before.step * plan.mini_batch_size
    rows = min(plan.mini_batch_size, len(data) - first)
    chunk = Chunk(before.epoch, before.step, 1, rows)
    function = step_function(step_graph(net.architecture, data, rows, plan.options(len(data))))
    inputs = step_inputs(net, data, chunk, plan.mini_batch_size, plan.eta)
    wanted = {**function.state, **function.updates}
    agree(after, wanted, {**inputs, **before.arrays}, subject.arithmetic)


@dataclass(frozen=True)
class StepPlan:
    """The arguments of `Network.SGD` that a single step depends on."""

    mini_batch_size: int
    eta: float
    lmbda: float = 0.0
    momentum: float = 0.0
    nesterov: bool = False

    def options(self, examples: int) -> StepOptions:
        """The constants of a step on a data set of so many examples."""
        steps = -(-examples // self.mini_batch_size)
        return StepOptions(self.mini_batch_size, self.lmbda / steps, self.momentum, self.nesterov)


def instrumented(graph: StepGraph) -> G.Function:
    """The whole step with every layer's output, the gradient there and all gradients as further outputs."""
    parameters, layers = graph.parameters, graph.outputs
    found = G.grad(graph.data_cost, [*layers, *parameters.values()])
    outputs = {"cost": graph.cost, "data_cost": graph.data_cost}
    outputs |= {f"{OUTPUT}{i}": t for i, t in enumerate(layers)}
    outputs |= {f"{COTANGENT}{i}": g for i, g in enumerate(found[: len(layers)])}
    outputs |= {GRADIENT + path: g for path, g in zip(parameters, found[len(layers) :], strict=True)}
    step = step_function(graph)
    return G.simplify(G.Function(step.inputs, outputs, step.state, step.updates))


def check_layers(subject: Subject, case: StepCase) -> None:
    """Fail unless every layer's output and gradients, the cost and the updates of one step are right.

    Raises
    ------
    AssertionError
        Naming what differs: its name has the number of the layer.
    """
    executable = subject.compile(case.function)
    found = subject.call(executable, case.inputs, case.state)
    same(subject, subject.call(executable, case.inputs, case.state), found)
    _Layers(subject, case, found.outputs).judge()
    # The updates from end to end: no local bound allows for a gradient that is rounded once more in passing.
    hold(subject, case.function, found, case.inputs, case.state)


@dataclass
class _Layers:
    """The layers of one step, judged one by one.

    `errors` has for each value that one layer hands to another what it may differ by within itself: nothing,
    or its own bound where the backend declares `fuses` and so may round it differently for each use.
    """

    subject: Subject
    case: StepCase
    found: HostArrays
    errors: dict[str, HostArray] = field(default_factory=dict)

    def judge(self) -> None:
        layers = range(len(self.case.graph.outputs))
        for i in layers:
            self._forward(i)
        self._cost()
        for i in reversed(layers):
            self._backward(i)

    def _forward(self, i: int) -> None:
        x, values, errors = self._below(i)
        self._hold({f"{OUTPUT}{i}": self._build(i, x)}, values, errors)

    def _cost(self) -> None:
        graph, inputs = self.case.graph, self.case.graph.inputs
        name = f"{OUTPUT}{len(graph.outputs) - 1}"
        z = G.variable("x", graph.outputs[-1].shape, graph.architecture.dtype)
        costs = G.log_likelihood(z, G.gather(inputs["labels"], inputs["rows"]))
        cost = costs.sum() / graph.options.mini_batch_size
        wanted = {"data_cost": cost, f"{COTANGENT}{len(graph.outputs) - 1}": G.grad(cost, z)}
        self._hold(wanted, {"x": self.found[name]}, {"x": self.errors[name]})

    def _backward(self, i: int) -> None:
        x, values, errors = self._below(i)
        y = self._build(i, x)
        name = f"{COTANGENT}{i}"
        g = G.variable("g", y.shape, y.dtype)
        values, errors = {**values, "g": self.found[name]}, {**errors, "g": self.errors[name]}
        wrt = {GRADIENT + path: v for path, v in self.case.graph.parameters.items() if self._owns(i, path)}
        if i > 0:
            wrt[f"{COTANGENT}{i - 1}"] = x
        if wrt:
            gradients = G.vector_jacobian_product(y, g, list(wrt.values()))
            self._hold(dict(zip(wrt, gradients, strict=True)), values, errors)

    def _below(self, i: int) -> tuple[G.Tensor, dict[str, HostArray], dict[str, HostArray]]:
        """The layer's input, and its value and error; the first one's is read from the data set."""
        graph = self.case.graph
        if i == 0:
            rows = G.gather(graph.inputs["inputs"], graph.inputs["rows"])
            return graph.architecture.read(rows, self.case.data.scale), {}, {}
        name, below = f"{OUTPUT}{i - 1}", graph.outputs[i - 1]
        return G.variable("x", below.shape, below.dtype), {"x": self.found[name]}, {"x": self.errors[name]}

    def _build(self, i: int, x: G.Tensor) -> G.Tensor:
        graph = self.case.graph
        params = self._named(i, graph.parameters)
        state = self._named(i, {p: v for p, v in graph.state.items() if p not in graph.parameters})
        masks = self._named(
            i, {n.removeprefix(MASK): v for n, v in graph.inputs.items() if n.startswith(MASK)}
        )
        (y,), _ = graph.architecture.layers[i].build((x,), params, state, "train", masks)
        return y

    def _owns(self, i: int, path: str) -> bool:
        return path.startswith(f"{self.case.graph.architecture.names[i]}.")

    def _named(self, i: int, variables: Mapping[str, G.Tensor]) -> dict[str, G.Tensor]:
        """Those of layer i, by the names that the layer itself gives them."""
        prefix = f"{self.case.graph.architecture.names[i]}."
        return {path.removeprefix(prefix): v for path, v in variables.items() if self._owns(i, path)}

    def _hold(self, wanted: Mapping[str, G.Tensor], values: HostArrays, errors: HostArrays) -> None:
        """Judge outputs, and keep what their readers have to allow for."""
        everything = {**self.case.inputs, **self.case.state, **values}
        found = {name: self.found[name] for name in wanted}
        held = agree(found, wanted, everything, self.subject.arithmetic, errors)
        fuses = self.subject.capabilities.fuses
        self.errors |= {name: t.error if fuses else np.zeros(t.value.shape) for name, t in held.items()}
