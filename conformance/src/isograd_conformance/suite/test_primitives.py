"""Every primitive of the table, for every dtype and kind of operand, against the reference."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from isograd import graph as G
from isograd.errors import UnsupportedError
from isograd.graph import reference
from isograd_conformance.checks import check, check_executable, equal_but_for_flushed, require
from isograd_conformance.profiles import SIMPLEST, examples
from isograd_conformance.strategies.arrays import KINDS, SEEDS
from isograd_conformance.strategies.disguises import several
from isograd_conformance.strategies.primitives import CASES
from isograd_conformance.subject import Subject

pytestmark = pytest.mark.judges("forward")

# These only choose and place elements: every bit is known, the sign of a zero and a NaN's too.
MOVING = {name for name, row in G.PRIMITIVES.items() if row.group == "structure"} - {"scatter_add"}
MOVING |= {"neg", "abs", "where", "pool_gather2d"}

PAIRS = [(name, dtype) for name, entry in CASES.items() for dtype in sorted(entry.dtypes)]


def test_the_strategies_cover_the_whole_table_of_primitives() -> None:
    assert CASES.keys() == G.PRIMITIVES.keys()


@pytest.mark.parametrize(("name", "dtype"), PAIRS)
@given(data=st.data(), seed=SEEDS)
@examples(1)
def test_a_primitive_is_what_the_reference_says_whatever_its_operands_are_made_of(
    name: str, dtype: str, subject: Subject, data: st.DataObject, seed: int
) -> None:
    assume(seed != SIMPLEST)
    drawn = data.draw(several(name, dtype))
    if not subject.declares(*{t.dtype for t in drawn.function.nodes}):
        with pytest.raises(UnsupportedError):
            subject.compile(drawn.function)
        return
    executable = subject.compile(drawn.function)
    for kind in KINDS:
        inputs = drawn.inputs(seed, kind)
        found = check_executable(subject, executable, inputs).outputs
        # What is subnormal in a narrow dtype, and so may be flushed, is not so in a wide one.
        widened = name == "cast" and subject.capabilities.flushes_subnormals
        if name in MOVING and not widened:
            expected, _ = reference.call(drawn.function, inputs)
            for output, array in expected.items():
                assert equal_but_for_flushed(subject, found[output], array), f"{output}: not a bit may differ"


@pytest.mark.parametrize("name", ["reduce_sum", "reduce_max", "logsumexp"])
def test_reductions_over_every_choice_of_axes_in_every_order_of_memory(name: str, subject: Subject) -> None:
    dtype = subject.floating[-1]
    shape = (2, 3, 4, 2)
    choices = [axes for n in range(5) for axes in combinations(range(4), n)]
    for order in list(permutations(range(4)))[::12]:
        stored = G.variable("x", [shape[a] for a in order], dtype)
        x = G.transpose(stored, axes=[order.index(a) for a in range(4)])
        outputs = {str(axes): G.PRIMITIVES[name].build(x, axes=axes) for axes in choices}
        values = np.random.default_rng(0).normal(size=stored.shape).astype(dtype)
        check(subject, G.Function({"x": stored}, outputs), {"x": values})


def test_one_condition_may_choose_among_values_of_any_width(subject: Subject) -> None:
    require(subject, "bool")
    inputs = {"c": G.variable("c", (3, 4), "bool")}
    outputs, values = {}, {"c": np.arange(12).reshape(3, 4) % 3 == 0}
    for dtype in sorted(subject.capabilities.dtypes):
        a, b = (G.variable(f"{name} {dtype}", (3, 4), dtype) for name in "ab")
        inputs |= {a.name: a, b.name: b}
        values |= {x.name: (np.arange(12) % 2 + i).reshape(3, 4).astype(dtype) for i, x in enumerate((a, b))}
        outputs[f"either {dtype}"] = G.where(inputs["c"], a, b)
        outputs[f"a {dtype}"] = G.where(inputs["c"], a, 0)
        outputs[f"b {dtype}"] = G.where(inputs["c"], 0, b)
    check(subject, G.Function(inputs, outputs), values)
