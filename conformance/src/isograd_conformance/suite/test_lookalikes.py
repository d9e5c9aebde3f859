"""Functions of one interface that differ in one thing are told apart, whichever is compiled first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import graph as G
from isograd.compilation import compile_cached
from isograd.graph import Tensor, reference
from isograd_conformance.checks import check, check_executable, hold, require
from isograd_conformance.profiles import examples
from isograd_conformance.steps import check_steps
from isograd_conformance.strategies.arrays import normal
from isograd_conformance.subject import Subject

pytestmark = pytest.mark.judges("identity")

Build = Callable[[Tensor, Tensor, Tensor], Tensor]


def _constant(*numbers: float) -> Build:
    return lambda x, y, image: x + G.constant(np.asarray(numbers), x.dtype)


def _convolved(size: int = 1, groups: int = 1, **attributes: Any) -> Build:
    """A convolution of the image with as many of its own pixels as a filter has."""
    return lambda x, y, image: G.conv2d(
        image, image[:2, : 2 // groups, :size, :size], groups=groups, **attributes
    )


# x and y are (3, 3), the image is (2, 2, 4, 4); the functions of one list have results of one shape.
LOOKALIKES: dict[str, Sequence[Build]] = {
    "a number": [lambda x, y, image: x * 0.5, lambda x, y, image: x * 0.25, lambda x, y, image: x * 0.500001],
    "the sign of a number": [lambda x, y, image: x * 0.5, lambda x, y, image: x * -0.5],
    "one number of several": [_constant(1, 2, 3), _constant(1, 2, 4), _constant(3, 2, 1)],
    "a factor that is 1 somewhere": [
        lambda x, y, image: x * G.constant(np.asarray([1, 2, 3]), x.dtype),
        lambda x, y, image: x * G.constant(np.asarray([1, 1, 1]), x.dtype),
        lambda x, y, image: x / G.constant(np.asarray([1, 2, 4]), x.dtype),
    ],
    "the sign of zero": [
        lambda x, y, image: G.pad(x, low=[1, 1], high=[0, 0], interior=[0, 0], value=0.0),
        lambda x, y, image: G.pad(x, low=[1, 1], high=[0, 0], interior=[0, 0], value=-0.0),
    ],
    "the sign of a constant zero": [
        lambda x, y, image: G.concat(x, G.constant(np.asarray([[0.0] * 3]), x.dtype), axis=0),
        lambda x, y, image: G.concat(x, G.constant(np.asarray([[-0.0] * 3]), x.dtype), axis=0),
    ],
    "an exponent": [lambda x, y, image: (x * x) ** 0.5, lambda x, y, image: (x * x) ** 0.25],
    "axes": [
        lambda x, y, image: x.sum(0),
        lambda x, y, image: x.sum(1),
        lambda x, y, image: x.max(0),
        lambda x, y, image: x.max(1),
    ],
    "the order of axes": [
        lambda x, y, image: x.transpose(0, 1) + y,
        lambda x, y, image: x.transpose(1, 0) + y,
    ],
    "the order of operands": [lambda x, y, image: x - y, lambda x, y, image: y - x],
    "the order of a product": [lambda x, y, image: x @ y, lambda x, y, image: y @ x],
    "which operand": [lambda x, y, image: x * x, lambda x, y, image: x * y, lambda x, y, image: y * y],
    "how operands are grouped": [lambda x, y, image: (x - y) - x * y, lambda x, y, image: x - (y - x * y)],
    "a primitive": [
        lambda x, y, image: G.tanh(x),
        lambda x, y, image: G.sigmoid(x),
        lambda x, y, image: G.relu(x),
    ],
    "a binary primitive": [
        lambda x, y, image: x + y,
        lambda x, y, image: x * y,
        lambda x, y, image: G.maximum(x, y),
        lambda x, y, image: G.minimum(x, y),
    ],
    "where a slice begins": [lambda x, y, image: x[0:2], lambda x, y, image: x[1:3]],
    "the step of a slice": [lambda x, y, image: x[0:2], lambda x, y, image: x[0:3:2]],
    "the side of padding": [
        lambda x, y, image: G.pad(x, low=[1, 0], high=[0, 0], interior=[0, 0]),
        lambda x, y, image: G.pad(x, low=[0, 0], high=[1, 0], interior=[0, 0]),
    ],
    "the value of padding": [
        lambda x, y, image: G.pad(x, low=[1, 0], high=[0, 0], interior=[0, 0]),
        lambda x, y, image: G.pad(x, low=[1, 0], high=[0, 0], interior=[0, 0], value=0.5),
    ],
    "the order of pieces": [
        lambda x, y, image: G.concat(x, y, axis=0),
        lambda x, y, image: G.concat(y, x, axis=0),
    ],
    "along which axis is counted": [
        lambda x, y, image: x + G.iota(shape=(3, 3), axis=0, dtype=x.dtype),
        lambda x, y, image: x + G.iota(shape=(3, 3), axis=1, dtype=x.dtype),
    ],
    "along which axis is repeated": [
        lambda x, y, image: G.broadcast_to(x[:1], (3, 3)),
        lambda x, y, image: G.broadcast_to(x[:, :1], (3, 3)),
    ],
    "the strides of a convolution": [_convolved(stride=s) for s in ((2, 2), (3, 3), (2, 3), (3, 2))],
    "stride or dilation": [
        _convolved(size=2, stride=2, dilation=1),
        _convolved(size=2, stride=1, dilation=2),
    ],
    "groups": [_convolved(groups=1), _convolved(groups=2)],
    "the window of a pooling": [
        lambda x, y, image: G.max_pool2d(image, window=1, stride=2),
        lambda x, y, image: G.max_pool2d(image, window=2, stride=2),
        lambda x, y, image: G.sum_pool2d(image, window=2, stride=2),
        lambda x, y, image: G.max_pool2d(image, window=(1, 2), stride=2),
    ],
    "what is shared": [
        lambda x, y, image: G.tanh(x) * G.tanh(x),
        lambda x, y, image: G.tanh(x) * G.tanh(y),
    ],
}


@pytest.mark.parametrize("builds", LOOKALIKES.values(), ids=LOOKALIKES.keys())
def test_functions_that_differ_in_one_thing(builds: Sequence[Build], subject: Subject) -> None:
    dtype = subject.floating[0]
    shapes = {"x": (3, 3), "y": (3, 3), "image": (2, 2, 4, 4)}
    inputs = {name: G.variable(name, shape, dtype) for name, shape in shapes.items()}
    functions = [G.Function(inputs, {"z": build(*inputs.values())}) for build in builds]
    assert len({function.outputs["z"].shape for function in functions}) == 1
    directly = [subject.compile(function) for function in functions]
    kept = [compile_cached(subject.backend, function, subject.device) for function in functions]
    for executable in [*directly, *reversed(kept), *reversed(directly)]:
        check_executable(subject, executable, normal(0, inputs))


def test_in_one_function_they_are_not_merged(subject: Subject) -> None:
    """By core, which hands out simplified functions, or by the backend; zeros keep their signs."""
    dtype = subject.floating[0]
    shapes = {"x": (3, 3), "y": (3, 3), "image": (2, 2, 4, 4)}
    inputs = {name: G.variable(name, shape, dtype) for name, shape in shapes.items()}
    outputs = {
        f"{name} {number}": build(*inputs.values())
        for name, builds in LOOKALIKES.items()
        for number, build in enumerate(builds)
    }
    whole, values = G.Function(inputs, outputs), normal(0, inputs)
    found = subject.call(subject.compile(G.simplify(whole)), values)
    hold(subject, whole, found, values, {})
    expected, _ = reference.call(whole, values)
    for name in outputs:
        if "sign of" in name and "zero" in name:
            assert found.outputs[name].tobytes() == expected[name].tobytes(), name


def test_results_and_state_of_the_same_nodes_under_other_names(subject: Subject) -> None:
    dtype = subject.floating[0]
    x, a, b = (G.variable(name, (2, 2), dtype) for name in "xab")
    first, second = x + a, x * b
    functions = [
        G.Function({"x": x}, outputs, {"a": a, "b": b}, updates)
        for outputs, updates in [
            ({"y": first, "z": second}, {"a": first, "b": second}),
            ({"y": second, "z": first}, {"a": first, "b": second}),
            ({"y": first, "z": second}, {"a": second, "b": first}),
            ({"y": first, "z": second}, {"a": first}),
            ({"y": first}, {"a": first, "b": second}),
        ]
    ]
    executables = [subject.compile(function) for function in functions]
    executables += [compile_cached(subject.backend, function, subject.device) for function in functions]
    for executable in executables:
        check_executable(subject, executable, normal(0, {"x": x}), normal(1, {"a": a, "b": b}))


# What programs made as text would have to quote, and what Python or a framework has a meaning for.
NAMES = st.text("ax0 .'\"\\{}%\n\u00e9\u4e2d", min_size=1, max_size=6) | st.sampled_from(
    ["x", "x0", "class", "self", "np", "0", "a.b/c"]
)


@given(names=st.lists(NAMES, min_size=4, max_size=4, unique=True), result=NAMES)
@examples(12)
def test_names_may_be_any_text_and_a_result_may_have_the_name_of_an_input(
    names: list[str], result: str, subject: Subject
) -> None:
    dtype = subject.floating[0]
    x, y, a, b = (G.variable(name, (2,), dtype) for name in names)
    outputs = {x.name: y * 2, y.name: x, a.name: b - 1, result: x * a}
    function = G.Function({x.name: x, y.name: y}, outputs, {a.name: a, b.name: b}, {a.name: b, b.name: a + x})
    check(subject, function, normal(0, function.inputs), normal(1, function.state))


def test_results_and_new_state_that_nothing_is_computed_for(subject: Subject) -> None:
    """Constants, inputs and the old state, as they are."""
    dtype = subject.floating[0]
    x, w, v = (G.variable(name, (2,), dtype) for name in "xwv")
    one, two = G.constant(np.asarray([1, 2]), dtype), G.broadcast_to(G.constant(2.5, dtype), (2,))
    outputs = {"constant": one, "again": one, "broadcast": two, "input": x, "state": w}
    function = G.Function({"x": x}, outputs, {"w": w, "v": v}, {"w": one, "v": x})
    executable = check(subject, function, normal(0, {"x": x}), normal(1, {"w": w, "v": v})).executable
    check_executable(subject, executable, normal(2, {"x": x}), normal(3, {"w": w, "v": v}))
    check_steps(
        subject, function, [normal(n, {"x": x}) for n in range(3)], normal(1, {"w": w, "v": v}), cut=1
    )


def test_functions_of_other_dtypes_and_shapes(subject: Subject) -> None:
    require(subject, *subject.floating)
    for shape in ((2, 3), (3, 2), (6,), (1, 6), (2, 3)):
        for dtype in subject.floating:
            x = G.variable("x", shape, dtype)
            function = G.Function({"x": x}, {"y": G.exp(x) + 1 / 3, "z": x.sum()})
            executable = compile_cached(subject.backend, function, subject.device)
            check_executable(subject, executable, normal(0, {"x": x}))
