"""Every primitive of the table, for every dtype and layout of its operands, against the reference."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import combinations, permutations
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from isograd import graph as G
from isograd.graph import reference
from isograd.graph.dtypes import ARITHMETIC, ORDERED
from isograd.graph.tensor import topological
from isograd_numpy.lowering import LOWERINGS

EVERY = frozenset(G.DTYPES)
Draw = Callable[[st.SearchStrategy[Any]], Any]
Array = np.ndarray[Any, Any]

# Few sizes are 0, because what is empty proves little; shrinking leads to 1.
SIZE = st.sampled_from([1, 2, 3, 5, 1, 2, 3, 4, 1, 2, 3, 0])


class Entry(NamedTuple):
    """Which dtypes a primitive takes, and a rule that draws its operands' values and its attributes."""

    dtypes: frozenset[str]
    rule: Callable[[Draw, str], tuple[list[Array], dict[str, Any]]]


CASES: dict[str, Entry] = {}


def case(*names: str, dtypes: Collection[str] = G.FLOATING) -> Callable[[Any], Any]:
    def enter(rule: Any) -> Any:
        CASES.update(dict.fromkeys(names, Entry(frozenset(dtypes), rule)))
        return rule

    return enter


def generator(draw: Draw) -> np.random.Generator:
    return np.random.default_rng(draw(st.integers(0, 2**32 - 1)))


def numbers(draw: Draw, dtype: str, *shapes: Sequence[int]) -> list[Array]:
    """Ordinary numbers, or small whole ones with many ties and both zeros, or those and NaN and inf."""
    rng, kind = generator(draw), draw(st.sampled_from(["ordinary", "tied", "special"]))
    event(kind)
    return [_filled(rng, kind, dtype, tuple(shape)) for shape in shapes]


def _filled(rng: np.random.Generator, kind: str, dtype: str, shape: tuple[int, ...]) -> Array:
    if dtype not in G.FLOATING:
        low = 0 if dtype in ("bool", "uint8") else -4
        return rng.integers(low, 2 if dtype == "bool" else 5, size=shape).astype(dtype)
    if kind == "ordinary":
        return np.asarray(rng.normal(size=shape) * 3, dtype)
    choices = [-2.0, -1.0, -0.0, 0.0, 1.0, 2.0]
    if kind == "special":
        choices += [np.nan, np.inf, -np.inf, -np.inf, float(np.finfo(dtype).smallest_subnormal), 1e30]
    return np.asarray(rng.choice(choices, size=shape), dtype)


def finite(draw: Draw, dtype: str, *shapes: Sequence[int]) -> list[Array]:
    rng = generator(draw)
    return [np.asarray(rng.normal(size=tuple(shape)), dtype) for shape in shapes]


def indices(draw: Draw, shape: Sequence[int], limit: int) -> Array:
    return generator(draw).integers(0, max(limit, 1), size=tuple(shape)).astype("int32")


def sizes(draw: Draw, least: int = 0, most: int = 3) -> tuple[int, ...]:
    return tuple(draw(st.lists(SIZE, min_size=least, max_size=most)))


def pairs(draw: Draw, low: int, high: int) -> tuple[int, int]:
    return draw(st.tuples(st.integers(low, high), st.integers(low, high)))


# Structure


@case("reshape", dtypes=EVERY)
def _reshape(draw: Draw, dtype: str) -> Any:
    shape = sizes(draw)
    wanted = draw(st.sampled_from([(*shape[::-1], 1), (1, *shape[1:], *shape[:1]), (int(np.prod(shape)),)]))
    return numbers(draw, dtype, shape), {"shape": wanted}


@case("transpose", dtypes=EVERY)
def _transpose(draw: Draw, dtype: str) -> Any:
    shape = sizes(draw)
    return numbers(draw, dtype, shape), {"axes": draw(st.permutations(range(len(shape))))}


@case("broadcast_to", dtypes=EVERY)
def _broadcast_to(draw: Draw, dtype: str) -> Any:
    shape = sizes(draw)
    spread = tuple(draw(SIZE) if n == 1 else n for n in shape)
    return numbers(draw, dtype, shape), {"shape": sizes(draw, most=2) + spread}


@case("slice", dtypes=EVERY)
def _slice(draw: Draw, dtype: str) -> Any:
    shape = sizes(draw)
    ends = [sorted((draw(st.integers(0, n)), n - draw(st.integers(0, n)))) for n in shape]
    start, stop = ([end[i] for end in ends] for i in (0, 1))
    return numbers(draw, dtype, shape), {
        "start": start,
        "stop": stop,
        "step": [draw(st.integers(1, 3)) for _ in shape],
    }


@case("pad", dtypes=EVERY)
def _pad(draw: Draw, dtype: str) -> Any:
    shape = sizes(draw)
    amounts = {side: [draw(st.integers(0, 2)) for _ in shape] for side in ("low", "high", "interior")}
    values = {"bool": [0, 1], "uint8": [0, 255], "int32": [0, -7]}.get(dtype, [0.0, -0.5, np.inf, np.nan])
    return numbers(draw, dtype, shape), {**amounts, "value": draw(st.sampled_from(values))}


@case("concat", dtypes=EVERY)
def _concat(draw: Draw, dtype: str) -> Any:
    shape = sizes(draw, least=1)
    at = draw(st.integers(0, len(shape) - 1))
    lengths = sizes(draw, least=1)
    return numbers(draw, dtype, *((*shape[:at], n, *shape[at + 1 :]) for n in lengths)), {"axis": at}


@case("gather", dtypes=EVERY)
def _gather(draw: Draw, dtype: str) -> Any:
    shape = sizes(draw, least=1)
    chosen = sizes(draw, most=2) if shape[0] else (0,)
    return [*numbers(draw, dtype, shape), indices(draw, chosen, shape[0])], {}


@case("scatter_add", dtypes=ORDERED)
def _scatter_add(draw: Draw, dtype: str) -> Any:
    rows, chosen = draw(SIZE), sizes(draw, most=2)
    chosen = chosen if rows else (0,)
    (updates,) = (
        finite(draw, dtype, chosen + sizes(draw, most=2))
        if dtype in G.FLOATING
        else numbers(draw, dtype, chosen + sizes(draw, most=2))
    )
    return [updates, indices(draw, chosen, rows)], {"size": rows}


@case("cast", dtypes=EVERY)
def _cast(draw: Draw, dtype: str) -> Any:
    wanted = draw(st.sampled_from(G.DTYPES))
    if wanted in ("int32", "uint8") and dtype in G.FLOATING:  # NaN and what is out of range are not defined
        return [abs(x) for x in finite(draw, dtype, sizes(draw))], {"dtype": wanted}
    return numbers(draw, dtype, sizes(draw)), {"dtype": wanted}


@case("iota", dtypes=ARITHMETIC)
def _iota(draw: Draw, dtype: str) -> Any:
    shape = sizes(draw, least=1)
    return [], {"shape": shape, "axis": draw(st.integers(0, len(shape) - 1)), "dtype": dtype}


# Elementwise


@case("stop_gradient", dtypes=EVERY)
@case("neg", "abs", "sign", dtypes=ARITHMETIC)
@case("exp", "log", "sqrt", "tanh", "sigmoid", "relu", "softplus")
def _unary(draw: Draw, dtype: str) -> Any:
    return numbers(draw, dtype, sizes(draw)), {}


@case("pow")
def _pow(draw: Draw, dtype: str) -> Any:
    exponent = draw(st.sampled_from([2, 1, 0, 3, 0.5, -1, -2, 2.5, -0.75]))
    return numbers(draw, dtype, sizes(draw)), {"exponent": exponent}


@case("add", "sub", "mul", "maximum", "minimum", dtypes=ARITHMETIC)
@case("div")
@case("greater", dtypes=ORDERED)
@case("equal", dtypes=EVERY)
def _binary(draw: Draw, dtype: str) -> Any:
    shape = sizes(draw)
    return numbers(draw, dtype, shape, shape), {}


@case("where", dtypes=EVERY)
def _where(draw: Draw, dtype: str) -> Any:
    a, b = _binary(draw, dtype)[0]
    return [indices(draw, a.shape, 2).astype(bool), a, b], {}


# Reductions


@case("reduce_sum", dtypes=ARITHMETIC)
@case("logsumexp")
def _reduction(draw: Draw, dtype: str) -> Any:
    shape = sizes(draw, most=4)
    some = st.sets(st.integers(0, len(shape) - 1)) if shape else st.just(set())
    return numbers(draw, dtype, shape), {"axes": sorted(draw(some))}


@case("reduce_max", dtypes=ARITHMETIC)
def _reduce_max(draw: Draw, dtype: str) -> Any:
    (x,), attributes = _reduction(draw, dtype)
    shape = tuple(max(n, 1) if a in attributes["axes"] else n for a, n in enumerate(x.shape))
    return numbers(draw, dtype, shape), attributes


@case("argmax", dtypes=ORDERED)
def _argmax(draw: Draw, dtype: str) -> Any:
    shape = list(sizes(draw, least=1))
    axis = draw(st.integers(0, len(shape) - 1))
    shape[axis] = max(shape[axis], 1)
    return numbers(draw, dtype, shape), {"axis": axis}


# Contractions


@case("matmul")
def _matmul(draw: Draw, dtype: str) -> Any:
    batch, (i, k, j) = sizes(draw, most=2), sizes(draw, least=3)
    return finite(draw, dtype, (*batch, i, k), (*batch, k, j)), {}


def convolution(draw: Draw) -> tuple[list[int], list[int], list[int], dict[str, Any]]:
    """Shapes of image, filters and output, and the attributes."""
    groups, (batch, ins, outs) = draw(st.integers(1, 2)), sizes(draw, least=3)
    stride, dilation = pairs(draw, 1, 3), pairs(draw, 1, 2)
    kernel, extra = pairs(draw, 1, 3), pairs(draw, 0, 3)
    image = [d * (k - 1) + 1 + e for d, k, e in zip(dilation, kernel, extra, strict=True)]
    output = [e // s + 1 for e, s in zip(extra, stride, strict=True)]
    attributes = {"stride": stride, "dilation": dilation, "groups": groups}
    return (
        [batch, ins * groups, *image],
        [outs * groups, ins, *kernel],
        [batch, outs * groups, *output],
        attributes,
    )


@case("conv2d")
def _conv2d(draw: Draw, dtype: str) -> Any:
    image, filters, _, attributes = convolution(draw)
    return finite(draw, dtype, image, filters), attributes


@case("conv2d_dx")
def _conv2d_dx(draw: Draw, dtype: str) -> Any:
    image, filters, output, attributes = convolution(draw)
    return finite(draw, dtype, output, filters), {**attributes, "input_size": image[2:]}


@case("conv2d_dw")
def _conv2d_dw(draw: Draw, dtype: str) -> Any:
    image, filters, output, attributes = convolution(draw)
    return finite(draw, dtype, image, output), {**attributes, "filter_size": filters[2:]}


# Pooling


def pooling(draw: Draw) -> tuple[list[int], list[int], dict[str, Any]]:
    """Shapes of image and output, and the attributes; windows overlap, touch, or leave pixels out."""
    planes, window, extra = sizes(draw, 2, 2), pairs(draw, 1, 3), pairs(draw, 0, 3)
    stride = draw(st.one_of(st.just(window), st.tuples(st.integers(1, 4), st.integers(1, 4))))
    image = [k + e for k, e in zip(window, extra, strict=True)]
    output = [e // s + 1 for e, s in zip(extra, stride, strict=True)]
    return [*planes, *image], [*planes, *output], {"window": window, "stride": stride}


@case("sum_pool2d", "max_pool2d", "max_pool2d_index")
def _pool2d(draw: Draw, dtype: str) -> Any:
    image, _, attributes = pooling(draw)
    return numbers(draw, dtype, image), attributes


@case("sum_pool2d_t")
def _sum_pool2d_t(draw: Draw, dtype: str) -> Any:
    image, output, attributes = pooling(draw)
    return numbers(draw, dtype, output), {**attributes, "input_size": image[2:]}


@case("pool_gather2d")
def _pool_gather2d(draw: Draw, dtype: str) -> Any:
    image, output, _ = pooling(draw)
    return [*numbers(draw, dtype, image), indices(draw, output, image[2] * image[3])], {}


@case("unpool2d")
def _unpool2d(draw: Draw, dtype: str) -> Any:
    image, output, _ = pooling(draw)
    chosen = indices(draw, output, image[2] * image[3])
    return [*finite(draw, dtype, output), chosen], {"input_size": image[2:]}


def disguised(draw: Draw, name: str, value: Array) -> tuple[G.Tensor, Array]:
    """A tensor of this value, and the array of its variable: the plain one, a view of another, a result."""
    kind = draw(st.sampled_from(["plain", "transposed", "sliced", "computed"]))
    dtype = value.dtype.name
    if kind == "transposed":
        axes = draw(st.permutations(range(value.ndim)))
        back = [axes.index(a) for a in range(value.ndim)]
        given = value.transpose(axes).copy(order="C")
        return G.transpose(G.variable(name, given.shape, dtype), axes=back), given
    if kind == "sliced":
        given = np.zeros([2 * n + 1 for n in value.shape], dtype)
        inner = tuple(slice(1, None, 2) for _ in value.shape)
        given[inner] = value
        return G.variable(name, given.shape, dtype)[inner] if value.ndim else G.variable(
            name, (), dtype
        ), given
    x = G.variable(name, value.shape, dtype)
    return (x - 0 if kind == "computed" and dtype in ARITHMETIC else x), value


# These only choose and place elements: every bit is known, the sign of a zero and a NaN's too.
MOVING = {name for name, row in G.PRIMITIVES.items() if row.group == "structure"} - {"scatter_add"}
MOVING |= {"neg", "abs", "where", "pool_gather2d"}

PAIRS = [(name, dtype) for name, entry in CASES.items() for dtype in sorted(entry.dtypes)]


def test_the_cases_cover_the_whole_table_of_primitives() -> None:
    assert CASES.keys() == G.PRIMITIVES.keys() == LOWERINGS.keys()


@pytest.mark.parametrize(("name", "dtype"), PAIRS)
@given(data=st.data())
def test_a_primitive_is_what_the_reference_says_whatever_its_operands_are_made_of(
    name: str, dtype: str, check: Callable[..., Any], data: st.DataObject
) -> None:
    values, attributes = CASES[name].rule(data.draw, dtype)
    function, inputs = built(data.draw, name, values, attributes)
    computed = check(function, inputs).outputs
    if name in MOVING:
        expected, _ = reference.call(function, inputs)
        assert {n: a.tobytes() for n, a in computed.items()} == {n: a.tobytes() for n, a in expected.items()}


def built(
    draw: Draw, name: str, values: list[Array], attributes: dict[str, Any]
) -> tuple[G.Function, dict[str, Array]]:
    """The primitive of disguised operands, and its inputs.

    Twice, on the same shapes with other values: what one lowering leaves for others must not be mistaken.
    """
    outputs, inputs = {}, {}
    for result, turned in (("y", np.copy), ("twin", np.flip)):
        operands = []
        for i, value in enumerate(map(turned, values)):
            variable = f"{result}{i}"
            x, given_value = G.variable(variable, value.shape, value.dtype.name), value
            if not (i == 1 and name in ("gather", "scatter_add")):  # whose indices have to be inputs
                x, given_value = disguised(draw, variable, value)
            operands.append(x)
            inputs[variable] = given_value
        outputs[result] = G.PRIMITIVES[name].build(*operands, **attributes)
    variables = {t.name: t for t in topological(outputs.values()) if t.primitive == "variable"}
    return G.Function(variables, outputs), inputs


@pytest.mark.parametrize("name", ["reduce_sum", "reduce_max", "logsumexp"])
@pytest.mark.parametrize("order", list(permutations(range(4))), ids=str)
def test_reductions_over_every_choice_of_axes_in_every_order_of_memory(
    name: str, order: tuple[int, ...], check: Callable[..., Any]
) -> None:
    shape = (2, 3, 4, 2)
    stored = G.variable("x", [shape[a] for a in order], "float64")
    x = G.transpose(stored, axes=[order.index(a) for a in range(4)])
    choices = [axes for n in range(5) for axes in combinations(range(4), n)]
    outputs = {str(axes): G.PRIMITIVES[name].build(x, axes=axes) for axes in choices}
    values = np.random.default_rng(0).normal(size=stored.shape)
    check(G.Function({"x": stored}, outputs), {"x": values})
