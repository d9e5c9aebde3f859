"""From a Function to a plan, and from a plan to runs of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from isograd.graph import Function, Tensor
from isograd.graph.patterns import is_sum_of_squares
from isograd.graph.updates import find_updates
from isograd_numpy.lowering import lower
from isograd_numpy.lowering.contraction import filter_order
from isograd_numpy.lowering.pooling import needs_no_index
from isograd_numpy.lowering.softmax import absorb_softmax
from isograd_numpy.lowering.updates import accumulates, emit_update
from isograd_numpy.plan import Plan

Array = npt.NDArray[Any]


def make_plan(function: Function, resident: Mapping[str, Array]) -> Plan:
    """Lower a simplified Function whose primitives have been checked."""
    plan = Plan(function, dict(resident))
    _place_variables(plan)
    updates = find_updates(plan, lambda node, name: accumulates(plan, node, name))
    for update in updates:
        plan.absorbed.update(id(node) for node in update.inner)
    for node in function.nodes:
        if needs_no_index(plan, node) or is_sum_of_squares(plan, node):
            plan.absorbed.add(id(node))
        absorb_softmax(plan, node)
    for node in function.nodes:
        if node.primitive == "constant":
            plan.values[id(node)] = node.attributes["value"]
        elif node.primitive != "variable" and id(node) not in plan.absorbed:
            plan.values[id(node)] = lower(plan, node)
    in_place = {update.name for update in updates}
    copied = {name: _settled(plan, node) for name, node in function.updates.items() if name not in in_place}
    made_in_place = {id(update.root) for update in updates}
    plan.outputs = {n: _settled(plan, t) for n, t in function.outputs.items() if id(t) not in made_in_place}
    for update in updates:
        emit_update(plan, update)
    for name, value in copied.items():
        plan.emit(np.copyto, plan.state[name], value)
    plan.outputs |= {n: plan.value(t) for n, t in function.outputs.items() if id(t) in made_in_place}
    return plan


def _settled(plan: Plan, node: Tensor) -> Array:
    """The value of a result; what looks into old state is put aside before an update overwrites it."""
    value = plan.value(node)
    if plan.viewed_state(node) is None:
        return value
    copy = plan.buffer(node.shape, node.dtype)
    plan.emit(np.copyto, copy, value)
    return copy


def _place_variables(plan: Plan) -> None:
    function = plan.function
    for name, variable in function.inputs.items():
        if name in plan.resident:
            plan.values[id(variable)] = plan.resident[name]
        else:
            plan.inputs[name] = plan.buffer(variable.shape, _input_dtype(plan, variable))
            plan.values[id(variable)] = plan.inputs[name]
    for name, variable in function.state.items():
        plan.state[name] = plan.buffer(variable.shape, variable.dtype, filter_order(plan, variable))
        plan.values[id(variable)] = plan.state[name]


def _input_dtype(plan: Plan, variable: Tensor) -> Any:
    """An input that serves as indices alone is converted to NumPy's own index type as it comes in."""
    readers = plan.consumers.get(id(variable), [])
    indices_only = all(r.primitive in ("gather", "scatter_add") and r.inputs[1] is variable for r in readers)
    return np.intp if readers and indices_only and id(variable) not in plan.results else variable.dtype
