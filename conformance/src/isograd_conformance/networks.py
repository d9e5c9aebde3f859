"""Training steps with all that goes into them, and the checks of one step."""

from __future__ import annotations

from dataclasses import dataclass

from isograd import Dataset, Network
from isograd import graph as G
from isograd.training.draws import Chunk, draw, epoch_order
from isograd.training.state import TrainingState
from isograd.training.step import StepGraph, StepOptions, step_function, step_graph
from isograd_conformance.bounds import agree
from isograd_conformance.checks import same
from isograd_conformance.layers import instrumented, judge_step
from isograd_conformance.strategies.arrays import normal
from isograd_conformance.subject import HostArray, HostArrays, Subject


@dataclass(frozen=True)
class StepCase:
    """A training step with all that goes into it.

    Attributes
    ----------
    graph : StepGraph
    data : Dataset
    function : Function
        The step, as `layers.instrumented` makes it.
    inputs, state : dict of str to ndarray
    """

    graph: StepGraph
    data: Dataset
    function: G.Function
    inputs: dict[str, HostArray]
    state: dict[str, HostArray]


def first_step(
    net: Network,
    data: Dataset,
    rows: int,
    lmbda: float = 0.0,
    momentum: float = 0.0,
    nesterov: bool = False,
    *,
    weight_decay: float = 0.0,
    label_smoothing: float = 0.0,
    averaging: float = 0.0,
) -> StepCase:
    """A step as core draws its batch and masks for the first; velocities and averages are any numbers."""
    nesterov = nesterov and momentum > 0
    plan = StepPlan(rows, 0.125, lmbda, momentum, nesterov, weight_decay, label_smoothing, averaging)
    options = plan.options(len(data))
    graph = step_graph(net.architecture, data, rows, options)
    function = instrumented(graph)
    arrays = {**net.parameters, **net.state}
    beside = {name: v for name, v in function.state.items() if name not in arrays}
    state = {**arrays, **normal(net.seed % 2**32, beside)}
    inputs = step_inputs(net, data, Chunk(0, 0, 1, rows), rows, plan.eta)
    return StepCase(graph, data, function, inputs, {name: state[name] for name in function.state})


def step_inputs(
    net: Network, data: Dataset, chunk: Chunk, mini_batch_size: int, eta: float
) -> dict[str, HostArray]:
    """All inputs of the one step of a chunk: the data set, and what core draws for it."""
    order = epoch_order(net.seed, chunk.epoch, len(data), True)
    drawn = draw(net.architecture, net.seed, chunk, order, mini_batch_size, eta)
    return {**data.arrays(), **{name: a[0] for name, a in drawn.items()}}


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
        Parameters, velocities, layer state and averages, by the names of the state.
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
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    averaging: float = 0.0

    def options(self, examples: int) -> StepOptions:
        """The constants of a step on a data set of so many examples."""
        steps = -(-examples // self.mini_batch_size)
        return StepOptions(
            self.mini_batch_size,
            self.lmbda / steps,
            self.momentum,
            self.nesterov,
            self.weight_decay,
            self.label_smoothing,
            self.averaging,
        )


def check_layers(subject: Subject, case: StepCase) -> None:
    """Fail unless every layer's output, gradients and updates and the cost of one step are right.

    Raises
    ------
    DisagreementError
        Naming what differs first: its name has the number of the layer or the path of the parameter.
    """
    executable = subject.compile(case.function)
    found = subject.call(executable, case.inputs, case.state)
    same(subject, subject.call(executable, case.inputs, case.state), found)
    for verdict in judge_step(subject, case.graph, case.data.scale, case.inputs, case.state, found):
        verdict.raise_for_problem(subject)
