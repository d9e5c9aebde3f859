"""From a Function to JAX functions: one call, one step of many, or all of them in a compiled loop.

A run of steps has two ways, which XLA rounds differently. Inside a compiled loop XLA on the CPU computes
convolutions several times more slowly than outside; a loop saves the calls. So the rule, which depends on
nothing but the function and the platform: a function with convolutions, on the CPU, is called once a step;
every other one runs as a loop. `steps_mode` says which, and a checkpoint records it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from isograd.graph import Function
from isograd_jax.lowering import LOWERINGS
from isograd_jax.trace import Trace

Arrays = tuple[jax.Array, ...]
StepsMode = Literal["loop", "step"]
_CONVOLUTIONS = frozenset({"conv2d", "conv2d_dx", "conv2d_dw"})


class Carry(NamedTuple):
    """What a step hands to the next, in memory that the next may use again.

    Attributes
    ----------
    step : int32 array, shape ()
    state : tuple of array
    outputs : tuple of array
        One row a step.
    """

    step: jax.Array
    state: Arrays
    outputs: Arrays


def steps_mode(function: Function, platform: str) -> StepsMode:
    """How a run of steps is executed; see the module."""
    convolves = any(node.primitive in _CONVOLUTIONS for node in function.nodes)
    return "step" if convolves and platform == "cpu" else "loop"


def evaluate(
    function: Function,
    platform: str,
    inputs: Sequence[jax.Array],
    state: Sequence[jax.Array],
    *,
    native: bool,
) -> tuple[Arrays, Arrays]:
    """Outputs and new state, in the function's order, of inputs and state in theirs."""
    variables = [*function.inputs.values(), *function.state.values()]
    values = {id(v): x for v, x in zip(variables, [*inputs, *state], strict=True)}
    trace = Trace(values, platform, native=native)
    for node in function.nodes:
        if node.primitive not in ("variable", "constant"):
            trace.put(node, LOWERINGS[node.primitive](trace, node))
    outputs = tuple(trace.value(t) for t in function.outputs.values())
    new = tuple(trace.value(function.updates.get(n, t)) for n, t in function.state.items())
    return outputs, new


def call_function(function: Function, platform: str) -> Any:
    """`call(inputs, state) -> (outputs, new state)`, compiled."""
    return jax.jit(partial(evaluate, function, platform, native=False))


def gradient_function(function: Function, platform: str, cost: str, wrt: Sequence[str]) -> Any:
    """`call(inputs, state) -> (outputs, new state, gradients)`, compiled, the gradients by jax.grad."""
    names = [*function.inputs, *function.state]
    places = [names.index(name) for name in wrt]
    at, count = list(function.outputs).index(cost), len(function.inputs)

    def cost_of(chosen: Sequence[jax.Array], values: Sequence[jax.Array]) -> tuple[jax.Array, Any]:
        merged = list(values)
        for place, value in zip(places, chosen, strict=True):
            merged[place] = value
        outputs, new = evaluate(function, platform, merged[:count], merged[count:], native=True)
        return outputs[at], (outputs, new)

    def call(inputs: Arrays, state: Arrays) -> tuple[Arrays, Arrays, list[jax.Array]]:
        values = [*inputs, *state]
        gradients, (outputs, new) = jax.grad(cost_of, has_aux=True)([values[p] for p in places], values)
        return outputs, new, gradients

    return jax.jit(call)


def step_function(function: Function, platform: str, per_step: frozenset[str]) -> Any:
    """A step of many, compiled.

    In mode "step" it is `run(carry, resident, rows) -> carry`, in mode "loop" `run(carry, resident, rows,
    steps) -> carry` for all of them; `resident` and `rows` are dicts of arrays by the inputs' names, `rows`
    with one row a step.
    """

    def step(carry: Carry, resident: dict[str, jax.Array], rows: dict[str, jax.Array]) -> Carry:
        now = {
            name: lax.dynamic_index_in_dim(array, carry.step, keepdims=False) for name, array in rows.items()
        }
        inputs = [now[name] if name in per_step else resident[name] for name in function.inputs]
        outputs, state = evaluate(function, platform, inputs, carry.state, native=False)
        stacked = tuple(
            lax.dynamic_update_index_in_dim(column, value, carry.step, 0)
            for column, value in zip(carry.outputs, outputs, strict=True)
        )
        return Carry(carry.step + jnp.int32(1), state, stacked)

    def loop(
        carry: Carry, resident: dict[str, jax.Array], rows: dict[str, jax.Array], steps: jax.Array
    ) -> Carry:
        return lax.while_loop(lambda c: c.step < steps, lambda c: step(c, resident, rows), carry)

    return jax.jit(step if steps_mode(function, platform) == "step" else loop, donate_argnums=0)
