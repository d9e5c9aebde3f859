"""What a plan does not do: the work and the memory that its lowerings exist to spare."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

from isograd import graph as G
from isograd.graph.tensor import topological
from isograd_conformance.strategies.networks import small_step
from isograd_numpy.plan import Plan
from isograd_numpy.program import make_plan

Array = np.ndarray[Any, Any]


class Made(NamedTuple):
    """A plan, and the shape and dtype of every buffer that was made for it."""

    plan: Plan
    buffers: list[tuple[tuple[int, ...], str]]

    def arguments(self) -> list[tuple[Any, ...]]:
        return [
            (*getattr(call, "args", ()), *getattr(call, "keywords", {}).values()) for call in self.plan.calls
        ]


def planned(function: G.Function) -> Made:
    """The plan of a function, with a watch on `Plan.buffer`."""
    buffers: list[tuple[tuple[int, ...], str]] = []
    make = Plan.buffer

    def watched(plan: Plan, shape: Any, dtype: Any, order: Any = None) -> Array:
        buffers.append((tuple(shape), np.dtype(dtype).name))
        return make(plan, shape, dtype, order)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Plan, "buffer", watched)
        return Made(make_plan(G.simplify(function), {}), buffers)


def test_a_weight_is_stepped_in_place_without_a_buffer_for_its_gradient() -> None:
    made = planned(small_step("float32"))
    for name in ("w1", "w2", "w3"):
        shape = made.plan.function.state[name].shape
        assert made.buffers.count((shape, "float32")) == 1, name  # the state itself


def test_a_gradient_that_is_asked_for_has_its_buffer() -> None:
    function = small_step("float32")
    w = function.state["w3"]
    outputs = {"gradient": G.grad(function.outputs["cost"], w)}
    made = planned(G.Function(function.inputs, outputs, function.state, function.updates))
    assert made.buffers.count((w.shape, "float32")) > 1


def test_momentum_needs_no_gradient_buffer_either() -> None:
    x, d = G.variable("x", (5, 7)), G.variable("d", (5, 3))
    w, v = G.variable("w", (7, 3)), G.variable("v", (7, 3))
    step = 0.9 * v - 0.1 * (x.transpose() @ d)
    made = planned(G.Function({"x": x, "d": d}, {}, {"w": w, "v": v}, {"w": w + step, "v": step}))
    assert made.buffers.count(((7, 3), "float32")) == 2


def pooling_index(made: Made) -> G.Tensor:
    (index,) = (n for n in made.plan.function.nodes if n.primitive == "max_pool2d_index")
    return index


def test_pooling_without_overlap_makes_no_index() -> None:
    function = small_step("float32")
    made = planned(function)
    assert id(pooling_index(made)) not in made.plan.values
    outputs = {"index": pooling_index(made)}
    asked = planned(G.Function(function.inputs, outputs, function.state, function.updates))
    assert id(pooling_index(asked)) in asked.plan.values


def test_overlapping_windows_do_make_an_index() -> None:
    x = G.variable("x", (2, 1, 5, 5))
    y = G.max_pool2d(x, window=3, stride=2)
    made = planned(G.Function({"x": x}, {"g": G.grad(y.sum(), x)}))
    assert id(pooling_index(made)) in made.plan.values


def test_a_convolution_and_its_weight_gradient_share_their_patches() -> None:
    made = planned(small_step("float32"))
    convolutions = [n for n in made.plan.function.nodes if n.primitive in ("conv2d", "conv2d_dw")]
    patches = [value for key, value in made.plan.notes.items() if key[0] == "patches"]
    assert (len(convolutions), len(patches)) == (4, 2)
    for array in patches:
        assert sum(any(x is array for x in arguments[:1]) for arguments in made.arguments()) == 1


def test_views_are_made_once_and_never_again() -> None:
    x = G.variable("x", (4, 3))
    y = G.broadcast_to(x.transpose().reshape(1, 3, 4), (2, 3, 4))[:, 1:]
    assert not planned(G.Function({"x": x}, {"y": y})).plan.calls


def test_a_chain_of_elementwise_primitives_works_in_one_buffer() -> None:
    x = G.variable("x", (6, 5))
    y = G.tanh(G.exp(-(x * 0.5)) + 1.0)
    assert planned(G.Function({"x": x}, {"y": y})).buffers.count(((6, 5), "float32")) == 2  # x and the chain


def test_a_value_that_is_read_again_is_not_overwritten() -> None:
    x = G.variable("x", (6, 5))
    a = x * 0.5
    made = planned(G.Function({"x": x}, {"y": G.tanh(a) + a}))
    nodes = topological(made.plan.function.outputs.values())
    (kept,) = (n for n in nodes if n.primitive == "mul")
    writes = [arguments for arguments in made.arguments() if arguments[-1] is made.plan.value(kept)]
    assert len(writes) == 1 or writes[-1][0] is not made.plan.value(kept)


def test_a_sum_of_squares_makes_no_squares() -> None:
    w = G.variable("w", (9, 8))
    made = planned(G.Function({}, {"decay": (w * w).sum()}, {"w": w}))
    assert made.buffers.count(((9, 8), "float32")) == 1


def test_softmax_and_its_cost_take_one_exponential() -> None:
    z, labels = G.variable("z", (4, 3)), G.variable("labels", (4,), "int32")
    cost = G.log_likelihood(z, labels).sum()
    outputs = {"cost": cost, "gradient": G.grad(cost, z), "probabilities": G.softmax(z)}
    made = planned(G.Function({"z": z, "labels": labels}, outputs))
    assert sum(getattr(call, "func", None) is np.exp for call in made.plan.calls) == 1


def test_filters_lie_as_their_convolution_reads_them() -> None:
    """No call copies a state: neither forward, nor backward, nor in the update."""
    made = planned(small_step("float32"))
    for state in made.plan.state.values():
        copies = [a for call, a in zip(made.plan.calls, made.arguments(), strict=True) if _is_copy(call)]
        assert not any(np.may_share_memory(arguments[1], state) for arguments in copies)


def _is_copy(call: Any) -> bool:
    return getattr(call, "func", None) is np.copyto
