"""From a Function to the Python function that runs it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from isograd.graph import Function, Tensor
from isograd.graph.patterns import is_sum_of_squares, match_softmax
from isograd.graph.updates import find_updates
from isograd.graph.uses import viewed
from isograd_torch.lowering import LAZY, LOWERINGS
from isograd_torch.lowering.contraction import channels_last, cut_gradient, pads
from isograd_torch.lowering.elementwise import is_biased_product, sigmoid_slope
from isograd_torch.lowering.updates import accumulates, emit_update
from isograd_torch.plan import Name, Plan, Run

State = dict[str, torch.Tensor]


class _Lowered(Plan):
    def lower(self, node: Tensor) -> Name:
        if node.primitive == "constant":
            return self.array(node.attributes["value"])
        return LOWERINGS[node.primitive](self, node)


@dataclass(frozen=True)
class Program:
    """What a Function has become.

    Attributes
    ----------
    run : callable
        ``run(*inputs, *state, *numbers)`` with tensors in the order of the function's inputs and state, and
        Python numbers in the order of `numbers`: (outputs, new state), in their orders. It may overwrite the
        state that it is given and return the same tensors; what it returns shares memory with no input and
        no two of its results share any.
    numbers : tuple of str
    source : str
        The text of `run`.
    filters : frozenset of str
        The states that are read as filters of convolutions, and lie with the channels last.
    """

    run: Run
    numbers: tuple[str, ...]
    source: str
    filters: frozenset[str]

    def own(self, state: State) -> State:
        """Copies of a state's tensors, which a run may overwrite."""
        return {
            name: channels_last(value.clone()) if name in self.filters else value.clone()
            for name, value in state.items()
        }

    def compiled(self) -> Program:
        """The same program by way of `torch.compile`."""
        return replace(self, run=torch.compile(self.run, dynamic=False))


def make_program(function: Function, device: str, *, native: bool = False, in_place: bool = True) -> Program:
    """Lower a function whose primitives have been checked.

    Parameters
    ----------
    function : Function
    device : str
    native : bool
        For PyTorch's own differentiation: see `Plan`.
    in_place : bool
        Whether state may be updated in place.
    """
    plan = _Lowered(function, device, native=native)
    updates = find_updates(plan, accumulates) if in_place and not native else []
    made_in_place = {id(update.root) for update in updates}
    for update in updates:
        plan.absorbed.update(id(node) for node in update.inner)
    if not native:
        _absorb(plan)
    for node in function.nodes:
        if node.primitive not in LAZY and id(node) not in plan.absorbed:
            plan.value(node)
    taken: set[int] = set()
    outputs = {n: _settled(plan, t, taken) for n, t in function.outputs.items() if id(t) not in made_in_place}
    new = {
        name: _settled(plan, function.updates[name], taken) if name in function.updates else plan.value(state)
        for name, state in function.state.items()
        if id(function.updates.get(name)) not in made_in_place
    }
    for update in updates:  # what they read is computed before the first of them overwrites anything
        for operand in update.operands():
            if id(operand) not in made_in_place and operand.shape:
                plan.value(operand)
    for update in updates:
        new[update.name] = emit_update(plan, update)
        plan.settle(update.root, new[update.name])
    for name, tensor in function.outputs.items():
        if id(tensor) in made_in_place:
            outputs[name] = plan.emit(torch.clone, plan.value(tensor))
    filters = frozenset(name for name, state in function.state.items() if _is_filter(plan, state))
    run, source = plan.compile(
        [outputs[name] for name in function.outputs], [new[name] for name in function.state]
    )
    return Program(run, tuple(plan.numbers), source, filters)


def _absorb(plan: Plan) -> None:
    """Note the nodes that need no value of their own, because who reads them does their work."""
    for node in plan.function.nodes:
        softmax = match_softmax(plan, node)
        if softmax is not None and softmax.logsumexp.attributes["axes"]:
            plan.softmaxes[id(node)] = softmax
            plan.absorbed.update(id(inner) for inner in softmax.inner)
        if is_sum_of_squares(plan, node) or is_biased_product(plan, node):
            plan.absorbed.add(id(node))
        if pads(plan, node):
            plan.absorbed.add(id(node))
        if cut_gradient(plan, node) is not None:
            plan.absorbed.add(id(node.inputs[0]))
        plan.absorbed.update(id(inner) for inner in sigmoid_slope(plan, node))


def _settled(plan: Plan, node: Tensor, taken: set[int]) -> Name:
    """The value of a result: a copy where it may look into a variable, a constant or another result."""
    source = viewed(node)
    if source.primitive in ("variable", "constant", "iota") or id(source) in taken:
        return plan.emit(torch.clone, plan.value(node))
    taken.add(id(source))
    return plan.value(node)


def _is_filter(plan: Plan, state: Tensor) -> bool:
    """Whether a state is read as the filters of a convolution."""
    readers = plan.consumers.get(id(state), [])
    return any(r.primitive in ("conv2d", "conv2d_dx") and r.inputs[1] is state for r in readers)
