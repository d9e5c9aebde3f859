"""The first node of a graph that a backend computes otherwise than the reference.

Each node is replayed by itself, on the reference's values of its operands. If every one is right alone, the
fault is in how they are run together, and the graph is grown node by node until it shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from isograd.errors import IsogradError
from isograd.graph import Function, Tensor, variable
from isograd.graph.reference import evaluate
from isograd.graph.tensor import rebuild, topological
from isograd_conformance.bounds import Judgement
from isograd_conformance.checks import judge_call
from isograd_conformance.subject import HostArray, HostArrays, Subject


@dataclass(frozen=True)
class Parting:
    """Where a backend parts from the reference.

    Attributes
    ----------
    node : Tensor
        Of the graph that was searched.
    position : int
        Of the node in the order of computation, from 0; as `isograd.graph.format_graph` numbers it.
    alone : bool
        Whether the node is wrong when run by itself; otherwise only as a part of `function`.
    function : Function
        The smallest one that shows it: the node on variables, or all that the node is computed from.
    inputs, state : dict of name to ndarray
        Of `function`.
    judgement : Judgement
        Of the output or state of `function` that is wrong.
    """

    node: Tensor
    position: int
    alone: bool
    function: Function
    inputs: dict[str, HostArray]
    state: dict[str, HostArray]
    judgement: Judgement


def first_parting(subject: Subject, function: Function, values: HostArrays) -> Parting | None:
    """The first node that is wrong; None where none is, as for a fault that shows only now and then.

    Parameters
    ----------
    subject : Subject
    function : Function
    values : mapping of variable name to ndarray
        Of all inputs and state.
    """
    nodes = topological([*function.outputs.values(), *function.updates.values()])
    known = dict(zip(map(id, nodes), evaluate(nodes, values), strict=True))
    return next(chain(_alone(subject, nodes, known), _together(subject, function, nodes, values)), None)


def _alone(subject: Subject, nodes: list[Tensor], known: Mapping[int, HostArray]) -> Iterator[Parting]:
    for position, node in enumerate(nodes):
        if node.primitive in ("variable", "constant"):
            continue
        single, inputs = _by_itself(node, known)
        yield from _parted(subject, node, position, True, Function(*single), inputs, {})


def _by_itself(
    node: Tensor, known: Mapping[int, HostArray]
) -> tuple[tuple[dict[str, Tensor], dict[str, Tensor]], dict[str, HostArray]]:
    """Inputs and output of the node alone, and the inputs' values; constants stay what they are."""
    variables: dict[int, Tensor] = {}
    inputs: dict[str, HostArray] = {}
    for operand in node.inputs:
        if operand.primitive != "constant" and id(operand) not in variables:
            name = "xyzvw"[len(variables)] if len(variables) < 5 else f"x{len(variables)}"
            variables[id(operand)] = variable(name, operand.shape, operand.dtype)
            inputs[name] = known[id(operand)].astype(operand.dtype)
    operands = [variables.get(id(operand), operand) for operand in node.inputs]
    result = rebuild(node, operands)
    return ({v.name: v for v in variables.values()}, {"result": result}), inputs


def _together(
    subject: Subject, function: Function, nodes: list[Tensor], values: HostArrays
) -> Iterator[Parting]:
    """Ever larger parts of the graph, from the variables up; at last the whole, with its updates."""
    given = {name: values[name] for name in {**function.inputs, **function.state}}
    variables = {**function.inputs, **function.state}
    for position, node in enumerate(nodes):
        if node.primitive not in ("variable", "constant"):
            part = Function(variables, {"result": node})
            yield from _parted(subject, node, position, False, part, given, {})
    inputs = {name: values[name] for name in function.inputs}
    state = {name: values[name] for name in function.state}
    last = len(nodes) - 1
    yield from _parted(subject, nodes[last], last, False, function, inputs, state)


def _parted(
    subject: Subject,
    node: Tensor,
    position: int,
    alone: bool,
    function: Function,
    inputs: dict[str, HostArray],
    state: dict[str, HostArray],
) -> Iterator[Parting]:
    """A parting for the first result of the function that is wrong. What the backend refuses is none."""
    for judgement in judged(subject, function, inputs, state):
        if judgement.problem is not None:
            wrong = node if alone else judgement.tensor
            yield Parting(wrong, position, alone, function, inputs, state, judgement)
            return


def judged(subject: Subject, function: Function, inputs: HostArrays, state: HostArrays) -> list[Judgement]:
    """Every output and state of a function on a backend, held to its bound; none where it is refused."""
    try:
        return judge_call(subject, function, inputs, state)
    except IsogradError:
        return []
