"""Whole functions drawn at random: shared nodes, views of shared values, results that are views."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import graph as G
from isograd_conformance.bounds import agree
from isograd_conformance.checks import assert_same_bits, bytes_of, check, check_executable, require, same
from isograd_conformance.profiles import examples
from isograd_conformance.steps import check_steps
from isograd_conformance.strategies.arrays import LAYOUTS, SEEDS, arguments, normal, relaid
from isograd_conformance.strategies.functions import functions
from isograd_conformance.subject import Results, Subject

pytestmark = pytest.mark.judges("functions")


@given(data=st.data(), seed=SEEDS)
@examples(50)
def test_a_function_is_what_the_reference_says_and_its_results_outlive_the_next_call(
    subject: Subject, data: st.DataObject, seed: int
) -> None:
    require(subject, "int32", "bool")
    function = data.draw(functions(subject.floating))
    inputs, state = arguments(function, seed)
    executable = check(subject, function, inputs, state).executable
    outputs, new = executable(subject.send(inputs), subject.send(state))
    kept = bytes_of({**subject.fetch(outputs), **subject.fetch(new)})
    check_executable(subject, executable, *arguments(function, seed + 1))
    assert bytes_of({**subject.fetch(outputs), **subject.fetch(new)}) == kept


@given(data=st.data(), seed=SEEDS)
@examples(15)
def test_the_layout_of_what_is_given_does_not_matter(
    subject: Subject, data: st.DataObject, seed: int
) -> None:
    require(subject, "int32", "bool")
    function = data.draw(functions(subject.floating))
    executable = subject.compile(function)
    inputs, state = arguments(function, seed)
    plain = subject.call(executable, inputs, state)
    others = relaid(seed, inputs), relaid(seed + 1, state)
    same(subject, subject.call(executable, *others), plain)
    stacked, new = subject.run_steps(executable, others[1], others[0], {}, 1)
    values = {**inputs, **state}
    agree({n: a[0] for n, a in stacked.items()}, function.outputs, values, subject.arithmetic)
    agree(new, {**function.state, **function.updates}, values, subject.arithmetic)


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_sums_give_the_same_bits_in_whatever_layout_their_terms_are_given(
    layout: str, subject: Subject
) -> None:
    """Of so many terms that another order of addition shows."""
    for dtype in subject.floating:
        x, w = G.variable("x", (6, 5, 9, 8), dtype), G.variable("w", (7, 5, 3, 3), dtype)
        a, b = G.variable("a", (40, 50), dtype), G.variable("b", (50, 30), dtype)
        choices = [(0,), (0, 2), (2, 3), (0, 1, 2, 3)]
        outputs = {f"sum over {axes}": G.reduce_sum(x, axes=axes) for axes in choices}
        outputs |= {f"logsumexp over {axes}": G.logsumexp(x, axes=axes) for axes in choices}
        outputs |= {"conv2d": G.conv2d(x, w), "sum_pool2d": G.sum_pool2d(x, window=3), "matmul": a @ b}
        function = G.Function({t.name: t for t in (x, w, a, b)}, outputs)
        inputs = normal(0, function.inputs)
        plain = check(subject, function, inputs)
        laid = {name: LAYOUTS[layout](array) for name, array in inputs.items()}
        found = check_executable(subject, plain.executable, laid)
        same(subject, Results(found.outputs, {}), Results(plain.outputs, {}))


@given(data=st.data(), seed=SEEDS, steps=st.integers(1, 4), cut=st.integers(0, 4))
@examples(20)
def test_steps_are_calls_one_after_another_however_they_are_cut_into_chunks(
    subject: Subject, data: st.DataObject, seed: int, steps: int, cut: int
) -> None:
    require(subject, "int32", "bool")
    function = data.draw(functions(subject.floating))
    rows = [arguments(function, seed + i)[0] for i in range(steps)]
    lasting = data.draw(st.sets(st.sampled_from(sorted(function.inputs))))
    check_steps(subject, function, rows, arguments(function, seed)[1], lasting, cut)


@given(data=st.data(), seed=SEEDS)
@examples(8)
def test_asking_for_further_outputs_changes_no_bit_unless_declared(
    subject: Subject, data: st.DataObject, seed: int
) -> None:
    """Where `fuses` is declared, the further outputs are held to the bound instead."""
    require(subject, "int32", "bool")
    function = data.draw(functions(subject.floating))
    inputs, state = arguments(function, seed)
    plain = subject.call(subject.compile(function), inputs, state)
    inner = [t for t in function.nodes if t.inputs][:6]
    further = {**function.outputs, **{f"inner {i}": t for i, t in enumerate(inner)}}
    wider = check(
        subject, G.Function(function.inputs, further, function.state, function.updates), inputs, state
    )
    if subject.reproducible:
        outputs = {name: wider.outputs[name] for name in function.outputs}
        assert_same_bits(plain, Results(outputs, wider.state))
