"""The verdict on a network, layer by layer.

A bound carried through a whole network grows until it proves nothing. So a step is run with each layer's
output, and the gradient there, as further outputs, and every layer is judged forward, backward and in its
update on the backend's *own* values below and above it: each bound is one layer deep. What is compared within
a layer, as in a pooling, is made an output likewise (`decisions`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from isograd import graph as G
from isograd.architecture import Architecture
from isograd.costs import CrossEntropy, LogLikelihood, Quadratic
from isograd.layers import Mode
from isograd.training.step import AVERAGE, MASK, VELOCITY, StepGraph, step_function
from isograd_conformance.bounds import DisagreementError, Judgement, judge
from isograd_conformance.decisions import decided, substitute
from isograd_conformance.subject import HostArray, HostArrays, Results, Subject

# Names of the further outputs: of layer i, of the gradient there, and of the gradients of parameters.
OUTPUT, COTANGENT, GRADIENT = "output of layer ", "gradient at the output of layer ", "gradient of "
UPDATE, COMPARED = "new ", "compared in layer "

Kind = Literal["output", "cost", "gradient", "update", "whole"]


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
            raise DisagreementError(self.judgement, self.values, subject)


def instrumented(graph: StepGraph) -> G.Function:
    """The whole step with every layer's output, the gradient there and all gradients as further outputs."""
    parameters, layers = graph.parameters, graph.outputs
    found = G.grad(graph.data_cost, [*layers, *parameters.values()])
    outputs = {"cost": graph.cost, "data_cost": graph.data_cost}
    outputs |= layer_outputs(layers)
    outputs |= {f"{COTANGENT}{i}": g for i, g in enumerate(found[: len(layers)])}
    outputs |= {GRADIENT + path: g for path, g in zip(parameters, found[len(layers) :], strict=True)}
    step = step_function(graph)
    return G.simplify(G.Function(step.inputs, outputs, step.state, step.updates))


def layer_outputs(layers: Sequence[G.Tensor]) -> dict[str, G.Tensor]:
    """Each layer's output, and what it compares on the way there, as outputs of an instrumented function."""
    outputs: dict[str, G.Tensor] = {}
    for i, layer in enumerate(layers):
        compared = decided(layer, layers[i - 1 : i])
        outputs |= {_compared(i, k): t for k, t in enumerate(compared)}
        outputs[f"{OUTPUT}{i}"] = layer
    return outputs


def _compared(layer: int, k: int) -> str:
    return f"{COMPARED}{layer}, {k}"


def _kind(name: str) -> Kind:
    """Of a result, by its name."""
    if name.startswith(UPDATE):
        return "update"
    if name.startswith((COTANGENT, GRADIENT)):
        return "gradient"
    return "cost" if name.endswith("cost") else "output"


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

    `errors` has for each value that one layer hands to another what it may differ by within itself, its own
    bound: a backend that declares `fuses` may round it differently for each use.
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
            x, values = self.below(i)
            y = self.build(i, x)
            compared = self.compared(i, x, y)
            wanted = {_compared(i, k): t for k, t in enumerate(compared)}
            statistics = self.new_state(i, x)
            self.hold(i, {**wanted, f"{OUTPUT}{i}": y, **statistics}, values, compared)
        return self.verdicts

    def below(self, i: int) -> tuple[G.Tensor, dict[str, str]]:
        """The layer's input, and the name of its value by that of its variable.

        The first layer's input is read from the data set.
        """
        if i == 0:
            rows = G.gather(self.inputs["inputs"], self.inputs["rows"])
            return self.architecture.read(rows, self.scale), {}
        name = f"{OUTPUT}{i - 1}"
        return G.variable("x", self.found[name].shape, self.architecture.dtype), {"x": name}

    def compared(self, i: int, x: G.Tensor, y: G.Tensor) -> dict[G.Tensor, str]:
        """What is compared between a layer's input and its output, with the names of the values."""
        operands = decided(y, [x] if i else [])
        return {node: _compared(i, k) for k, node in enumerate(operands)}

    def build(self, i: int, x: G.Tensor) -> G.Tensor:
        return self._built(i, x)[0]

    def new_state(self, i: int, x: G.Tensor) -> dict[str, G.Tensor]:
        """What training makes of the layer's state, such as running means."""
        _, new = self._built(i, x)
        return {f"{UPDATE}{self.architecture.names[i]}.{key}": tensor for key, tensor in new.items()}

    def _built(self, i: int, x: G.Tensor) -> tuple[G.Tensor, Mapping[str, G.Tensor]]:
        parameters = self.architecture.parameters
        params = self.named(i, {p: v for p, v in self.state.items() if p in parameters})
        state = self.named(i, {p: v for p, v in self.state.items() if p not in parameters})
        masks = self.named(i, {n.removeprefix(MASK): v for n, v in self.inputs.items() if n.startswith(MASK)})
        (y,), new = self.architecture.layers[i].build((x,), params, state, self.mode, masks)
        return y, new

    def owns(self, i: int, path: str) -> bool:
        return path.startswith(f"{self.architecture.names[i]}.")

    def named(self, i: int, variables: Mapping[str, G.Tensor]) -> dict[str, G.Tensor]:
        """Those of layer i, by the names that the layer itself gives them."""
        prefix = f"{self.architecture.names[i]}."
        return {path.removeprefix(prefix): v for path, v in variables.items() if self.owns(i, path)}

    def hold(
        self,
        i: int,
        wanted: Mapping[str, G.Tensor],
        values: Mapping[str, str],
        compared: Mapping[G.Tensor, str],
    ) -> None:
        """Judge arrays on the values that they were computed from, and keep what these may differ by.

        Parameters
        ----------
        wanted : mapping of name to Tensor
        values : mapping of variable name to name
            Which of the backend's own values the graph's further variables are.
        compared : mapping of Tensor to name
            Nodes of the graph that are taken as the backend's own values.
        """
        cuts = {node: G.variable(f"compared {k}", node.shape, node.dtype) for k, node in enumerate(compared)}
        tensors = dict(zip(wanted, substitute(list(wanted.values()), cuts), strict=True))
        names = {**values, **{cuts[node].name: name for node, name in compared.items()}}
        everything = {**self.given, **{variable: self.found[name] for variable, name in names.items()}}
        found = {name: self.found[name] for name in wanted}
        verdicts = judge(found, tensors, everything, self.subject.arithmetic)
        if self.subject.capabilities.fuses and any(v.problem is not None for v in verdicts):
            # Perhaps a value was rounded otherwise for this use than for the output that shows it.
            errors = {variable: self.errors[n] for variable, n in names.items() if n in self.errors}
            verdicts = judge(found, tensors, everything, self.subject.arithmetic, errors)
        for judgement in verdicts:
            self.errors[judgement.name] = judgement.held.error
            self.verdicts.append(LayerJudgement(i, _kind(judgement.name), judgement, everything))


@dataclass
class _Step(_Walk):
    """A walk up and down, judging the gradients and the updates too."""

    graph: StepGraph

    def judged(self) -> list[LayerJudgement]:
        self.forward()
        self._cost()
        for i in reversed(range(len(self.architecture.layers))):
            self._backward(i)
            self._averages(i)
        return self.verdicts

    def _cost(self) -> None:
        last = len(self.graph.outputs) - 1
        z = G.variable("x", self.graph.outputs[-1].shape, self.architecture.dtype)
        costs = self._row_costs(z)
        cost = whole = costs.sum() / self.graph.options.mini_batch_size
        for path, spec in self.architecture.parameters.items():
            if self.graph.options.decay and spec.regularised:
                w = self.graph.parameters[path]
                whole = whole + (w * w).sum() * (0.5 * self.graph.options.decay)
        values = {"x": f"{OUTPUT}{last}"}
        self.hold(last, {"data_cost": cost, "cost": whole}, values, {})
        self.hold(last, {f"{COTANGENT}{last}": G.grad(cost, z)}, values, {})

    def _row_costs(self, z: G.Tensor) -> G.Tensor:
        """Each row's cost by the contract's formula, times its weight if there is one.

        A plugin's cost is its own formula.
        """
        cost, rows = self.architecture.cost, self.inputs["rows"]
        labels = G.gather(self.inputs["labels"], rows)
        targets = labels if cost.targets == "classes" else labels.cast(z.dtype).reshape(*z.shape)
        if isinstance(cost, LogLikelihood):
            costs = G.log_likelihood(z, labels, label_smoothing=self.graph.options.label_smoothing)
        elif isinstance(cost, Quadratic):
            costs = 0.5 * ((z - targets) * (z - targets)).sum(tuple(range(1, z.ndim)))
        elif isinstance(cost, CrossEntropy):
            costs = (G.softplus(z) - targets * z).sum(tuple(range(1, z.ndim)))
        else:
            costs = cost.build(z, targets)
        if "weights" in self.inputs:
            costs = costs * G.gather(self.inputs["weights"], rows).cast(z.dtype)
        return costs

    def _backward(self, i: int) -> None:
        x, values = self.below(i)
        y = self.build(i, x)
        g = G.variable("g", y.shape, y.dtype)
        values = {**values, "g": f"{COTANGENT}{i}"}
        parameters = {path: v for path, v in self.graph.parameters.items() if self.owns(i, path)}
        wrt = [*parameters.values(), *([x] if i > 0 else [])]
        if not wrt:
            return
        gradients = G.vector_jacobian_product(y, g, wrt)
        wanted = {GRADIENT + path: gradient for path, gradient in zip(parameters, gradients, strict=False)}
        if i > 0:
            wanted[f"{COTANGENT}{i - 1}"] = gradients[-1]
        compared = self.compared(i, x, y)
        self.hold(i, wanted | self._updates(parameters, gradients), values, compared)

    def _averages(self, i: int) -> None:
        """Averages of the layer's arrays by the contract's formula, from the new values that were found."""
        averaging = self.graph.options.averaging
        if not averaging:
            return
        wanted, values = {}, {}
        for path, w in self.state.items():
            if self.owns(i, path):
                a = G.variable(AVERAGE + path, w.shape, w.dtype)
                new = G.variable(UPDATE + path, w.shape, w.dtype)
                wanted[UPDATE + AVERAGE + path] = a + (1 - averaging) * (new - a)
                values[UPDATE + path] = UPDATE + path
        self.hold(i, wanted, values, {})

    def _updates(
        self, parameters: Mapping[str, G.Tensor], gradients: Sequence[G.Tensor]
    ) -> dict[str, G.Tensor]:
        """New parameters and velocities by the contract's formulas, not by core's code for them.

        From the layer's gradient itself: as an output it may have been rounded once more in passing.
        """
        options, dtype = self.graph.options, self.architecture.dtype
        eta, new = G.variable("eta", (), dtype), {}
        for (path, w), g in zip(parameters.items(), gradients, strict=False):
            decay = options.decay + options.weight_decay
            if decay and self.architecture.parameters[path].regularised:
                g = g + decay * w
            if not options.momentum:
                new[UPDATE + path] = w - eta * g
                continue
            v = options.momentum * G.variable(VELOCITY + path, w.shape, dtype) - eta * g
            new[UPDATE + VELOCITY + path] = v
            new[UPDATE + path] = w + options.momentum * v - eta * g if options.nesterov else w + v
        return new
