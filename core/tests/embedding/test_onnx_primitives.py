"""Every primitive that can be exported is what its definition says, within the bound, in ONNX Runtime."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from isograd import graph as G
from isograd.errors import UnsupportedError
from isograd.graph import PRIMITIVES

pytest.importorskip("isograd_conformance")
from isograd.onnx import OPERATORS, Owner, graph_model
from isograd.onnx.rows import APART, COMBINED
from isograd_conformance.checks import check_executable
from isograd_conformance.profiles import PHASES
from isograd_conformance.strategies.arrays import KINDS, SEEDS
from isograd_conformance.strategies.disguises import several
from isograd_conformance.strategies.primitives import CASES

FEW = settings(max_examples=2, derandomize=True, deadline=None, phases=PHASES)
# Of a NaN ONNX says nothing here, and the runtimes take it for anything (docs/export.md).
WITHOUT_NAN = {"argmax", "logsumexp", "max_pool2d", "max_pool2d_index", "reduce_max"}
# ONNX Runtime lacks these in double precision, and of what stands in for it there ConvTranspose knows no
# groups, and AveragePool takes NaN for padding.
ONLY_SINGLE = {"conv2d_dx", "sum_pool2d", "sum_pool2d_t"}
PAIRS = [
    (name, dtype)
    for name in sorted(OPERATORS)
    for dtype in sorted({"float32"} if name in ONLY_SINGLE else CASES[name].dtypes)
]
# Shapes are computed, and values broadcast, wherever a primitive needs it.
ANYWHERE = {"Concat", "Expand", "Identity", "Mul", "Shape"}


def test_the_proof_that_rows_do_not_mix_knows_every_primitive() -> None:
    assert APART.isdisjoint(COMBINED)
    assert APART | COMBINED.keys() == PRIMITIVES.keys() | {"constant", "variable"}


def test_all_can_be_exported_but_the_one_that_sums_over_the_batch() -> None:
    assert PRIMITIVES.keys() - OPERATORS.keys() == {"conv2d_dw"}


@pytest.mark.parametrize(("name", "dtype"), PAIRS)
@given(data=st.data(), seed=SEEDS)
@FEW
def test_an_exported_primitive_is_within_the_bound(
    name: str, dtype: str, subject: Any, data: st.DataObject, seed: int
) -> None:
    drawn = data.draw(several(name, dtype))
    # A network has no array without elements, for whose pooling ONNX Runtime has no code.
    assume(PRIMITIVES[name].group != "pool" or all(node.size for node in drawn.function.nodes))
    executable = subject.compile(drawn.function)
    for kind in KINDS:
        if kind != "special" or name not in WITHOUT_NAN:
            check_executable(subject, executable, drawn.inputs(seed, kind))


@pytest.mark.parametrize("name", sorted(OPERATORS))
@given(data=st.data())
@FEW
def test_a_primitive_is_made_of_the_operators_that_the_table_names(
    name: str, library: Any, data: st.DataObject
) -> None:
    library("onnx")
    dtype = data.draw(st.sampled_from(sorted(CASES[name].dtypes)))
    drawn = data.draw(several(name, dtype))
    owner = Owner("function", "the function")
    model = graph_model(lambda rows: {n: (owner, t) for n, t in drawn.function.outputs.items()}, {})
    around = {operator for node in drawn.function.nodes for operator in OPERATORS.get(node.primitive, ())}
    assert {node.op_type for node in model.graph.node} <= around | ANYWHERE


def test_what_has_no_operator_is_refused_by_name(library: Any) -> None:
    library("onnx")
    x, g = G.variable("x", (1, 1, 3, 3)), G.variable("g", (1, 1, 2, 2))
    y = G.conv2d_dw(x, g, filter_size=2)
    with pytest.raises(UnsupportedError, match="layer 3: conv2d_dw can not be exported"):
        graph_model(lambda rows: {"y": (Owner("3", "layer 3"), y)}, {})
