"""The framework's own gradient and isograd's symbolic one, both held to the bound of the symbolic graph."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import graph as G
from isograd.architecture import Architecture
from isograd.errors import IsogradError
from isograd.training.step import GRADIENT, StepOptions, gradient_function, step_graph
from isograd_conformance.checks import check_executable, hold, require, same
from isograd_conformance.profiles import examples
from isograd_conformance.strategies.arrays import SEEDS, arguments, normal
from isograd_conformance.strategies.networks import layer_lists, toy_digits
from isograd_conformance.subject import HostArrays, Results, Subject
from isograd_conformance.witnesses import with_gradients

pytestmark = pytest.mark.judges("native")


@pytest.fixture(autouse=True)
def _declared(subject: Subject) -> None:
    if not subject.capabilities.native_gradient:
        pytest.skip(f"{subject.specification} does not declare native_gradient")


def check_gradients(
    subject: Subject, function: G.Function, cost: str, wrt: list[str], inputs: HostArrays, state: HostArrays
) -> None:
    """Native and symbolic gradients, and what is beside them: within the bound, and the same again."""
    symbolic = with_gradients(function, cost, wrt)
    executable = subject.compile_native_gradient(function, cost, wrt)
    native = subject.call(executable, inputs, state)
    hold(subject, symbolic, native, inputs, state)
    same(subject, subject.call(executable, inputs, state), native)
    check_executable(subject, subject.compile(symbolic), inputs, state)


@given(data=st.data(), seed=SEEDS, rows=st.integers(1, 3))
@examples(4)
def test_the_gradient_function_of_a_random_network(
    subject: Subject, data: st.DataObject, seed: int, rows: int
) -> None:
    require(subject, "int32", "uint8", "bool")
    layers, shape = data.draw(layer_lists())
    digits = toy_digits(examples=5, classes=2, side=shape[1])
    images = np.repeat(digits.inputs, shape[0], axis=1)
    dtype = data.draw(st.sampled_from(subject.floating))
    architecture = Architecture(layers, shape, dtype)
    graph = step_graph(
        architecture, type(digits)(images, digits.labels, scale=1 / 256), rows, StepOptions(rows, 0.125)
    )
    function = gradient_function(graph)
    inputs, state = arguments(function, seed)
    inputs |= {"inputs": images, "labels": digits.labels}
    check_gradients(subject, function, "data_cost", list(architecture.parameters), inputs, state)


def test_a_constant_operand_stops_gradients_and_integers_have_none(subject: Subject) -> None:
    dtype = subject.floating[0]
    x, w = G.variable("x", (3,), dtype), G.variable("w", (3,), dtype)
    cost = (G.stop_gradient(x * w) * w).sum()
    function = G.Function({"x": x}, {"cost": cost}, {"w": w}, {"w": w - 0.5 * x})
    values = normal(0, {"x": x, "w": w})
    check_gradients(subject, function, "cost", ["w"], {"x": values["x"]}, {"w": values["w"]})


def test_the_outputs_are_named_and_shaped_as_the_contract_says(subject: Subject) -> None:
    dtype = subject.floating[0]
    x, w = G.variable("x", (2, 3), dtype), G.variable("w", (3,), dtype)
    function = G.Function({"x": x}, {"cost": (x @ w.reshape(3, 1)).sum(), "x": x}, {"w": w}, {"w": w * 0.5})
    executable = subject.compile_native_gradient(function, "cost", ["w", "x"])
    values = normal(0, {"x": x, "w": w})
    found = subject.call(executable, {"x": values["x"]}, {"w": values["w"]})
    assert found.outputs.keys() == {"cost", "x", "gradient/w", "gradient/x"}
    for name, variable in (("w", w), ("x", x)):
        gradient = found.outputs[GRADIENT + name]
        assert (gradient.shape, gradient.dtype.name) == (variable.shape, dtype)
    assert executable.device == subject.device


def test_threads_get_the_gradients_that_they_would_get_alone(subject: Subject) -> None:
    dtype = subject.floating[0]
    x, w = G.variable("x", (3, 4), dtype), G.variable("w", (4, 2), dtype)
    function = G.Function({"x": x}, {"cost": G.tanh(x @ w).sum()}, {"w": w}, {"w": w * 0.5})
    executable = subject.compile_native_gradient(function, "cost", ["w", "x"])
    symbolic = with_gradients(function, "cost", ["w", "x"])
    barrier = threading.Barrier(4)

    def gradients(seed: int) -> Results:
        values = normal(seed, {"x": x, "w": w})
        inputs, state = {"x": values["x"]}, {"w": values["w"]}
        found = subject.call(executable, inputs, state)
        hold(subject, symbolic, found, inputs, state)
        return found

    def work(thread: int) -> list[Results]:
        barrier.wait()
        return [gradients(10 * thread + i) for i in range(5)]

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(work, range(4)))
    for thread, results in enumerate(together):
        for i, found in enumerate(results):
            same(subject, found, gradients(10 * thread + i))


def test_what_can_not_be_differentiated_is_refused_when_compiled(subject: Subject) -> None:
    dtype = subject.floating[0]
    x, w = G.variable("x", (2,), dtype), G.variable("w", (2,), dtype)
    function = G.Function({"x": x}, {"cost": x.sum(), "vector": x}, {"w": w})
    for cost, wrt in (("vector", ["x"]), ("missing", ["x"]), ("cost", ["missing"])):
        with pytest.raises(IsogradError):
            subject.compile_native_gradient(function, cost, wrt)
