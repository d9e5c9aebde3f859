"""Graphs as text."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from isograd import graph as G
from isograd.graph.tensor import topological

EXAMPLE = """\
%0 = variable x : float32[2, 3]
%1 = variable w : float32[3, 1]
%2 = matmul(%0, %1) : float32[2, 1]
%3 = relu(%2) : float32[2, 1]
%4 = constant 0.5 : float32[]
%5 = broadcast_to(%4, shape=(2, 1)) : float32[2, 1]
%6 = mul(%3, %5) : float32[2, 1]
%7 = reduce_sum(%6, axes=(0, 1)) : float32[]
%8 = constant <9 numbers from 0.0 to 8.0> : float64[9]
%9 = constant [[1, 2], [3, 4]] : int32[2, 2]
%10 = iota(shape=(2,), axis=0, dtype=int32) : int32[2]
return cost = %7
return table = %8
return small = %9
return count = %10
update w = %1"""


def test_the_format_is_this():
    x, w = G.variable("x", (2, 3)), G.variable("w", (3, 1))
    outputs = {
        "cost": (G.relu(x @ w) * 0.5).sum(),
        "table": G.constant(np.arange(9.0)),
        "small": G.constant([[1, 2], [3, 4]]),
        "count": G.iota(shape=(2,), axis=0),
    }
    assert G.format_graph(outputs, {"w": w}) == EXAMPLE
    assert str(G.Function({"x": x}, outputs, {"w": w}, {"w": w})) == EXAMPLE


def test_a_single_tensor_is_returned_without_a_name():
    assert G.format_graph(G.variable("x", ())) == "%0 = variable x : float32[]\nreturn %0"


@given(sharing=st.lists(st.integers(0, 100), max_size=12))
def test_every_node_has_one_line_after_its_operands(sharing):
    nodes = [G.variable("x", (2,))]
    for choice in sharing:
        nodes.append(nodes[choice % len(nodes)] + nodes[-1])
    *lines, result = G.format_graph(nodes[-1]).splitlines()
    assert [line.split(" = ")[0] for line in lines] == [f"%{i}" for i in range(len(topological([nodes[-1]])))]
    assert result == f"return %{len(lines) - 1}"


def test_the_text_does_not_depend_on_numpys_print_options():
    y = G.constant([1 / 3, 1e-9])
    text = G.format_graph(y)
    assert "[0.33333334, 1e-09]" in text
    with np.printoptions(precision=2, suppress=True):
        assert G.format_graph(y) == text


def test_digests_of_constants_tell_neighbours_apart():
    def text(value):
        return G.format_graph(G.constant(value, "float32"), constants="digest")

    assert text(0.1) == text(np.float32(0.1))
    assert text(0.0) != text(-0.0)
    assert text(0.1) != text(np.nextafter(np.float32(0.1), np.float32(1)))
