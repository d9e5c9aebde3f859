"""The verdict on a network, layer by layer.

A bound carried through a whole network grows until it proves nothing. So a step is run with each layer's
output, and the gradient there, as further outputs, and every layer is judged forward, backward and in its
update on the backend's *own* values below and above it: each bound is one layer deep.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from isograd import graph as G
from isograd.architecture import Architecture
from isograd.layers import Mode
from isograd.training.step import MASK, VELOCITY, StepGraph, step_function
from isograd_conformance.bounds import DisagreementError, Judgement, judge
from isograd_conformance.subject import HostArray, HostArrays, Results, Subject

# Names of the further outputs: of layer i, of the gradient there, and of the gradients of parameters.
OUTPUT, COTANGENT, GRADIENT = "output of layer ", "gradient at the output of layer ", "gradient of "
UPDATE = "new "

Kind = Literal["output", "cost", "gradient", "update"]


@dataclass(frozen=True)
class LayerJudgement:
    """One array of one layer, held to its bound.

    Attributes
    ----------
    layer : int
        From 0; the cost belongs to the last.
    kind : "output", "cost", "gradient" or "update"
    judgement : Judgement
    values : mapping of variable name to ndarray
        From which the array was to be computed.
    """

    layer: int
    kind: Kind
    judgement: Judgement
    values: HostArrays

    def raise_for_problem(self, subject: Subject) -> None:
        """Raise the `DisagreementError`, if it is one."""
        if self.judgement.problem is not None:
            error = DisagreementError(self.judgement, self.values)
            error.subject = subject
            raise error


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


def judge_step(
    subject: Subject, graph: StepGraph, scale: float, inputs: HostArrays, state: HostArrays, found: Results
) -> list[LayerJudgement]:
    """Hold what an `instrumented` step gave to the bounds, each layer on the backend's own values.

    Parameters
    ----------
    subject : Subject
        Whose computation it was.
    graph : StepGraph
    scale : float
        Of the data set.
    inputs, state : mapping of name to ndarray
        Of the instrumented function.
    found : Results

    Returns
    -------
    list of LayerJudgement
        In the order of computation: outputs up, the cost, gradients and updates down.
    """
    arrays = {**found.outputs, **{UPDATE + name: array for name, array in found.state.items()}}
    given = {**inputs, **state}
    return _Step(
        subject, graph.architecture, graph.inputs, graph.state, scale, "train", given, arrays, graph
    ).judged()


def judge_outputs(
    subject: Subject, architecture: Architecture, function: G.Function, scale: float, given: HostArrays,
    found: HostArrays,
) -> list[LayerJudgement]:  # fmt: skip
    """As `judge_step`, of the layers' outputs in mode "evaluate"."""
    walk = _Walk(subject, architecture, function.inputs, function.state, scale, "evaluate", given, found)
    return walk.forward()


@dataclass
class _Walk:
    """A walk over the layers, judging their outputs.

    `errors` has for each value that one layer hands to another what it may differ by within itself: nothing,
    or its own bound where the backend declares `fuses` and so may round it differently for each use.
    """

    subject: Subject
    architecture: Architecture
    inputs: Mapping[str, G.Tensor]
    state: Mapping[str, G.Tensor]
    scale: float
    mode: Mode
    given: HostArrays
    found: HostArrays
    errors: dict[str, HostArray] = field(default_factory=dict, init=False)
    verdicts: list[LayerJudgement] = field(default_factory=list, init=False)

    def forward(self) -> list[LayerJudgement]:
        """The outputs, from the first layer up."""
        for i in range(len(self.architecture.layers)):
            x, values, errors = self.below(i)
            self.hold(i, "output", {f"{OUTPUT}{i}": self.build(i, x)}, values, errors)
        return self.verdicts

    def below(self, i: int) -> tuple[G.Tensor, dict[str, HostArray], dict[str, HostArray]]:
        """The layer's input, and its value and error; the first one's is read from the data set."""
        if i == 0:
            rows = G.gather(self.inputs["inputs"], self.inputs["rows"])
            return self.architecture.read(rows, self.scale), {}, {}
        name = f"{OUTPUT}{i - 1}"
        value = self.found[name]
        return (
            G.variable("x", value.shape, self.architecture.dtype),
            {"x": value},
            {"x": self.errors[name]},
        )

    def build(self, i: int, x: G.Tensor) -> G.Tensor:
        parameters = self.architecture.parameters
        params = self.named(i, {p: v for p, v in self.state.items() if p in parameters})
        state = self.named(i, {p: v for p, v in self.state.items() if p not in parameters})
        masks = self.named(i, {n.removeprefix(MASK): v for n, v in self.inputs.items() if n.startswith(MASK)})
        (y,), _ = self.architecture.layers[i].build((x,), params, state, self.mode, masks)
        return y

    def owns(self, i: int, path: str) -> bool:
        return path.startswith(f"{self.architecture.names[i]}.")

    def named(self, i: int, variables: Mapping[str, G.Tensor]) -> dict[str, G.Tensor]:
        """Those of layer i, by the names that the layer itself gives them."""
        prefix = f"{self.architecture.names[i]}."
        return {path.removeprefix(prefix): v for path, v in variables.items() if self.owns(i, path)}

    def hold(
        self, i: int, kind: Kind, wanted: Mapping[str, G.Tensor], values: HostArrays, errors: HostArrays
    ) -> None:
        """Judge arrays, and keep what their readers have to allow for."""
        everything = {**self.given, **values}
        found = {name: self.found[name] for name in wanted}
        fuses = self.subject.capabilities.fuses
        for judgement in judge(found, wanted, everything, self.subject.arithmetic, errors):
            error = judgement.held.error
            self.errors[judgement.name] = error if fuses else np.zeros(error.shape)
            self.verdicts.append(LayerJudgement(i, kind, judgement, everything))


@dataclass
class _Step(_Walk):
    """A walk up and down, judging the gradients and the updates too."""

    graph: StepGraph

    def judged(self) -> list[LayerJudgement]:
        self.forward()
        self._cost()
        for i in reversed(range(len(self.architecture.layers))):
            self._backward(i)
        return self.verdicts

    def _cost(self) -> None:
        last = len(self.graph.outputs) - 1
        name = f"{OUTPUT}{last}"
        z = G.variable("x", self.graph.outputs[-1].shape, self.architecture.dtype)
        costs = G.log_likelihood(z, G.gather(self.inputs["labels"], self.inputs["rows"]))
        cost = whole = costs.sum() / self.graph.options.mini_batch_size
        for path, spec in self.architecture.parameters.items():
            if self.graph.options.decay and spec.regularised:
                w = self.graph.parameters[path]
                whole = whole + (w * w).sum() * (0.5 * self.graph.options.decay)
        values, errors = {"x": self.found[name]}, {"x": self.errors[name]}
        self.hold(last, "cost", {"data_cost": cost, "cost": whole}, values, errors)
        self.hold(last, "gradient", {f"{COTANGENT}{last}": G.grad(cost, z)}, values, errors)

    def _backward(self, i: int) -> None:
        x, values, errors = self.below(i)
        y = self.build(i, x)
        name = f"{COTANGENT}{i}"
        g = G.variable("g", y.shape, y.dtype)
        values, errors = {**values, "g": self.found[name]}, {**errors, "g": self.errors[name]}
        parameters = {path: v for path, v in self.graph.parameters.items() if self.owns(i, path)}
        wrt = [*parameters.values(), *([x] if i > 0 else [])]
        if not wrt:
            return
        gradients = G.vector_jacobian_product(y, g, wrt)
        wanted = {GRADIENT + path: gradient for path, gradient in zip(parameters, gradients, strict=False)}
        if i > 0:
            wanted[f"{COTANGENT}{i - 1}"] = gradients[-1]
        self.hold(i, "gradient", wanted, values, errors)
        if parameters:
            self.hold(i, "update", self._updates(parameters, gradients), values, errors)

    def _updates(
        self, parameters: Mapping[str, G.Tensor], gradients: Sequence[G.Tensor]
    ) -> dict[str, G.Tensor]:
        """New parameters and velocities by the contract's formulas, not by core's code for them.

        From the layer's gradient itself: as an output it may have been rounded once more in passing.
        """
        options, dtype = self.graph.options, self.architecture.dtype
        eta, new = G.variable("eta", (), dtype), {}
        for (path, w), g in zip(parameters.items(), gradients, strict=False):
            if options.decay and self.architecture.parameters[path].regularised:
                g = g + options.decay * w
            if not options.momentum:
                new[UPDATE + path] = w - eta * g
                continue
            v = options.momentum * G.variable(VELOCITY + path, w.shape, dtype) - eta * g
            new[UPDATE + VELOCITY + path] = v
            new[UPDATE + path] = w + options.momentum * v - eta * g if options.nesterov else w + v
        return new
