"""Simplification preserves every bit and never adds work."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import graph as G
from isograd.graph.reference import call, evaluate
from isograd.graph.tensor import topological

SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.1, np.nan, np.inf, -np.inf, 1e-40, 3e38]


class Graphs:
    """Draws graphs of float32 tensors in which there is much to simplify."""

    def __init__(self, data):
        self.data = data
        self.x, self.y = G.variable("x", (2, 3)), G.variable("y", (2, 3))
        self.nodes = [self.x, self.y, G.constant(1.0), G.broadcast_to(self.special(), (2, 3))]
        for _ in range(data.draw(st.integers(1, 14))):
            self.nodes.append(data.draw(st.sampled_from(self.RULES))(self))

    def special(self):
        return G.constant(self.data.draw(st.sampled_from(SPECIAL)))

    def node(self, shape=None):
        return self.data.draw(st.sampled_from([t for t in self.nodes if shape in (None, t.shape)]))

    def like(self, x):
        """A node of x's shape: another or a number repeated."""
        return self.data.draw(st.sampled_from([self.node(x.shape), G.broadcast_to(self.special(), x.shape)]))

    def unary(self):
        names = ["neg", "neg", "relu", "abs", "sign", "sqrt", "exp", "stop_gradient"]
        return G.PRIMITIVES[self.data.draw(st.sampled_from(names))].build(self.node())

    def binary(self):
        a = self.node()
        operands = self.data.draw(st.permutations([a, self.like(a)]))
        names = ["add", "sub", "mul", "mul", "div", "maximum"]
        return G.PRIMITIVES[self.data.draw(st.sampled_from(names))].build(*operands)

    def select(self):
        a = self.node()
        return G.where(
            self.data.draw(st.sampled_from([G.greater, G.equal]))(a, self.like(a)), self.like(a), a
        )

    def reshape(self):
        x = self.node()
        return G.PRIMITIVES["reshape"].build(x, shape=self.data.draw(st.permutations(x.shape)))

    def transpose(self):
        x = self.node()
        return G.transpose(x, axes=self.data.draw(st.permutations(range(x.ndim))))

    def broadcast(self):
        x = self.node()
        front = self.data.draw(st.sampled_from([(), (1,), (2,)])) if x.ndim < 4 else ()
        return G.PRIMITIVES["broadcast_to"].build(x, shape=front + x.shape)

    def cast(self):
        wide = G.PRIMITIVES["cast"].build(
            self.node(), dtype=self.data.draw(st.sampled_from(["float64", "float32"]))
        )
        return G.PRIMITIVES["cast"].build(wide, dtype="float32")

    def pad_and_slice(self):
        x, amount = self.node(), self.data.draw(st.integers(0, 1))
        low, none = [amount] * x.ndim, [0] * x.ndim
        padded = G.pad(
            x, low=low, high=none, interior=none, value=self.data.draw(st.sampled_from([0.0, -0.0]))
        )
        start = self.data.draw(st.sampled_from([low, none]))
        return G.slice_(padded, start=start, stop=padded.shape, step=[1] * x.ndim)

    def concat(self):
        xs = [x for x in [self.node()] if x.ndim] or [self.x]
        return G.concat(*xs * self.data.draw(st.integers(1, 2)), axis=0)

    def reduce(self):
        x = self.node()
        axes = self.data.draw(st.sampled_from([[], [0]] if x.ndim else [[]]))
        return G.PRIMITIVES[self.data.draw(st.sampled_from(["reduce_sum", "reduce_max"]))].build(x, axes=axes)

    RULES = (unary, binary, select, reshape, transpose, broadcast, cast, pad_and_slice, concat, reduce)

    def function(self):
        chosen = self.data.draw(st.lists(st.sampled_from(self.nodes), min_size=1, max_size=3))
        outputs = {f"y{i}": t for i, t in enumerate(chosen)}
        return G.Function({"x": self.x}, outputs, {"y": self.y}, {"y": self.node((2, 3))})


def applications(function):
    """How many nodes a backend executes: constants and variables cost nothing."""
    return sum(node.primitive not in ("constant", "variable") for node in function.nodes)


def assert_same_bits(found, expected):
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    numbers = ~np.isnan(expected)  # which NaN comes out of an operation is not defined
    assert (np.isnan(found) == ~numbers).all()
    assert found[numbers].tobytes() == expected[numbers].tobytes()


@given(data=st.data(), rng=st.integers(0, 2**32 - 1).map(np.random.default_rng))
def test_every_result_keeps_its_bits(data, rng):
    function = Graphs(data).function()
    simplified = G.simplify(function)
    values = [rng.choice(np.array(SPECIAL, "float32"), size=(2, 3)) for _ in range(2)]
    before, after = (call(f, {"x": values[0]}, {"y": values[1]}) for f in (function, simplified))
    for expected, found in zip(before, after, strict=True):
        assert expected.keys() == found.keys()
        for name in expected:
            assert_same_bits(found[name], expected[name])


@given(data=st.data())
def test_it_never_adds_work_and_a_second_time_changes_nothing(data):
    function = Graphs(data).function()
    simplified = G.simplify(function)
    assert applications(simplified) <= applications(function)
    assert str(G.simplify(simplified)) == str(simplified)
    assert G.simplify(simplified).digest == simplified.digest


@given(data=st.data())
def test_no_two_nodes_of_the_result_are_equal(data):
    text = str(G.simplify(Graphs(data).function()))
    calls = [line.split(" = ", 1)[1] for line in text.splitlines() if line.startswith("%")]
    assert len(set(calls)) == len(calls)


@given(data=st.data())
def test_gradients_survive_with_fewer_nodes(data, draw_case):
    name = data.draw(st.sampled_from(["matmul", "conv2d", "logsumexp", "max_pool2d", "tanh", "mul"]))
    case = draw_case(data.draw, name, "float32")
    variables = case.variables()
    gradients = G.grad((case.build(variables) * 1.5).sum(), variables)
    outputs = {f"g{i}": g for i, g in enumerate(gradients)}
    function = G.Function({v.name: v for v in variables}, outputs)
    simplified = G.simplify(function)
    assert len(simplified.nodes) <= len(function.nodes)
    expected, found = call(function, case.values())[0], call(simplified, case.values())[0]
    for key in outputs:
        assert_same_bits(found[key], expected[key])


# One rewrite each


X = G.variable("x", (2, 3))


def simplified(y):
    return G.simplify(G.Function({"x": X}, {"y": y})).outputs["y"]


@pytest.mark.parametrize(
    "build",
    [
        lambda x: G.PRIMITIVES["reshape"].build(x, shape=(2, 3)),
        lambda x: x.reshape(6).reshape(3, 2).reshape(2, 3),
        lambda x: x.transpose().transpose(),
        lambda x: G.PRIMITIVES["broadcast_to"].build(x, shape=(2, 3)),
        lambda x: G.PRIMITIVES["cast"].build(x, dtype="float32"),
        lambda x: G.pad(x, low=(0, 0), high=(0, 0), interior=(0, 0), value=7),
        lambda x: x[:, 0:3],
        lambda x: G.concat(x, axis=1),
        G.stop_gradient,
        lambda x: G.neg(G.neg(x)),
        lambda x: G.reduce_sum(x, axes=()),
        lambda x: x * 1,
        lambda x: 1 * x,
        lambda x: x / 1,
        lambda x: x * (G.constant(3.0) - 2),
    ],
)
def test_what_does_nothing_is_removed(build):
    assert simplified(build(X)) is X


@pytest.mark.parametrize(
    "build",
    [
        lambda x: x.reshape(6).reshape(3, 2),
        lambda x: x.reshape(1, 2, 3).transpose().reshape(6, 1).reshape(6),
        lambda x: G.transpose(G.transpose(x.reshape(2, 3, 1), axes=(2, 0, 1)), axes=(1, 0, 2)),
        lambda x: G.broadcast_to(G.broadcast_to(x, (4, 2, 3)), (5, 4, 2, 3)),
    ],
)
def test_structure_upon_structure_is_done_once(build):
    y = build(X)
    assert len(topological([simplified(y)])) == len(topological([y])) - 1
    values = {"x": np.arange(6, dtype="float32").reshape(2, 3)}
    assert_same_bits(evaluate([simplified(y)], values)[0], evaluate([y], values)[0])


@pytest.mark.parametrize(
    "build",
    [
        lambda x: x * 0,  # NaN and infinity give NaN, negative numbers -0
        lambda x: x + 0,  # -0 + 0 is 0
        lambda x: x - x,
        lambda x: x / x,
        lambda x: (x + 1) - 1,
        lambda x: 1 / (1 / x),
        lambda x: x.cast("bool").cast("float32"),
        lambda x: G.exp(G.log(x)),
        lambda x: x.sum() + x.sum(0).sum(),
    ],
)
def test_what_would_change_a_bit_stays(build):
    before, after = (
        sorted(
            node.primitive for node in topological([y]) if node.primitive not in ("constant", "broadcast_to")
        )
        for y in (build(X), simplified(build(X)))
    )
    assert before == after


def test_equal_nodes_are_merged_unless_a_bit_of_an_attribute_or_constant_differs():
    merged = simplified(G.exp(X + 2) * G.exp(X + 2))
    assert merged.inputs[0] is merged.inputs[1]
    for a, b in [
        (X + 0.0, X + -0.0),
        (X.sum(0), X.sum(1)),
        (X - 1, 1 - X),
        (X**2, X**3),
        (G.pad(X, low=(1, 0), high=(0, 0), interior=(0, 0), value=v) for v in (0.0, -0.0)),
    ]:
        function = G.simplify(G.Function({"x": X}, {"a": a, "b": b}))
        assert function.outputs["a"] is not function.outputs["b"]


def test_dead_code_goes_and_the_interface_stays():
    unused, kept = G.variable("unused", (4,)), G.variable("kept", (2,))
    G.exp(X)
    function = G.simplify(G.Function({"x": X, "unused": unused}, {"y": X + 1}, {"kept": kept}))
    assert list(function.inputs) == ["x", "unused"]
    assert list(function.state) == ["kept"]
    assert [node.primitive for node in function.nodes] == ["variable", "constant", "broadcast_to", "add"]


@pytest.mark.parametrize(
    "build",
    [
        lambda c: c * 3 + 1,
        lambda c: G.where(c > 1, c, -c) / 7,
        lambda c: G.sqrt(c).cast("float64").reshape(2, 1).transpose(),
        lambda c: G.concat(c, c, axis=0)[::2],
        lambda c: G.pad(c, low=(1,), high=(0,), interior=(2,), value=5),
    ],
)
def test_exact_operations_on_constants_are_done_once(build):
    y = build(G.constant([2.0, 0.5]))
    folded = simplified(y)
    assert folded.primitive == "constant"
    assert_same_bits(folded.attributes["value"], evaluate([y])[0])


@pytest.mark.parametrize(
    "build",
    [
        G.exp,
        G.log,
        G.tanh,
        lambda c: c**0.5,
        lambda c: c.sum(),
        lambda c: c.reshape(1, 2) @ c.reshape(2, 1),
        lambda c: (c * float("inf")).cast("int32"),
    ],
)
def test_what_a_backend_may_compute_otherwise_is_left_to_it(build):
    assert simplified(build(G.constant([2.0, 0.5]))).primitive not in ("constant", "reshape")


def test_a_number_repeated_stays_a_broadcast_and_large_constants_are_left_alone():
    large = simplified(G.broadcast_to(G.constant(2.0), (1000, 1000)) * 3)
    assert (large.primitive, large.inputs[0].attributes["value"]) == ("broadcast_to", 6)
    table = G.constant(np.arange(100.0))
    assert simplified(table + 1.0).primitive == "add"


def test_new_constants_that_are_equal_are_one():
    a, b = G.broadcast_to(G.constant(2.0), (3,)) * 3, G.broadcast_to(G.constant(7.0), (3,)) - 1
    function = G.simplify(G.Function({}, {"a": a, "b": b}))
    assert function.outputs["a"] is function.outputs["b"]
