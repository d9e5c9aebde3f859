"""For every primitive a strategy that draws operands and attributes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from isograd import graph as G
from isograd.graph.dtypes import ARITHMETIC, ORDERED

EVERY = frozenset(G.DTYPES)
Draw = Callable[[st.SearchStrategy[Any]], Any]
Operands = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Case:
    """A primitive, the values of its operands and its static attributes."""

    name: str
    operands: Operands
    attributes: dict[str, Any]

    def variables(self) -> list[G.Tensor]:
        return [G.variable(f"x{i}", a.shape, a.dtype.name) for i, a in enumerate(self.operands)]

    def values(self) -> dict[str, np.ndarray]:
        return {f"x{i}": a for i, a in enumerate(self.operands)}

    def build(self, variables: Sequence[G.Tensor]) -> G.Tensor:
        return G.PRIMITIVES[self.name].build(*variables, **self.attributes)


@dataclass(frozen=True)
class Entry:
    """Which dtypes a primitive takes, and how to draw a case of it."""

    dtypes: frozenset[str]
    rule: Callable[[Draw, str], tuple[Operands, dict[str, Any]]]


CASES: dict[str, Entry] = {}


def case(*names: str, dtypes: Collection[str] = G.FLOATING) -> Callable[[Any], Any]:
    def enter(rule: Any) -> Any:
        CASES.update(dict.fromkeys(names, Entry(frozenset(dtypes), rule)))
        return rule

    return enter


# Values keep clear of kinks by more than the step of `numerical_gradient`, 1/32: where there is a kink,
# floating-point values are distinct, a half apart, and none is nearer to 0 than a quarter.


def distinct(draw: Draw, dtype: str, *shapes: Sequence[int]) -> Operands:
    """Arrays of values that are all different, also between the arrays."""
    sizes = [int(np.prod(shape, dtype=int)) for shape in shapes]
    order = generator(draw).permutation(sum(sizes))
    numbers = {"bool": order % 2, "uint8": order, "int32": order - sum(sizes) // 2}.get(
        dtype, (order - sum(sizes) // 2) * 0.5 + 0.25
    )
    pieces = np.split(numbers.astype(dtype), np.cumsum(sizes)[:-1])
    return tuple(piece.reshape(shape) for piece, shape in zip(pieces, shapes, strict=True))


def small(draw: Draw, dtype: str, *shapes: Sequence[int]) -> Operands:
    """Arrays of quarters between -2 and 2, whose products and sums are exact."""
    rng = generator(draw)
    return tuple((rng.integers(-8, 9, size=shape) / 4).astype(dtype) for shape in shapes)


def indices(draw: Draw, shape: Sequence[int], limit: int) -> np.ndarray:
    return generator(draw).integers(0, max(limit, 1), size=shape).astype("int32")


def generator(draw: Draw) -> np.random.Generator:
    return np.random.default_rng(draw(st.integers(0, 2**32 - 1)))


# Few sizes are 0, because what is empty proves little; shrinking leads to 1.
SIZE = st.sampled_from([1, 2, 3, 1, 2, 3, 1, 2, 3, 0])


def sizes(draw: Draw, least: int = 0, most: int = 3) -> tuple[int, ...]:
    """A shape of `least` to `most` axes."""
    return tuple(draw(st.lists(SIZE, min_size=least, max_size=most)))


def pairs(draw: Draw, low: int, high: int) -> tuple[int, int]:
    return draw(st.tuples(st.integers(low, high), st.integers(low, high)))


# Structure


@case("reshape", dtypes=EVERY)
def _reshape(draw: Draw, dtype: str) -> Any:
    shape = sizes(draw)
    return distinct(draw, dtype, shape), {"shape": draw(st.permutations((*shape, 1)))}


@case("transpose", dtypes=EVERY)
def _transpose(draw: Draw, dtype: str) -> Any:
    shape = sizes(draw)
    return distinct(draw, dtype, shape), {"axes": draw(st.permutations(range(len(shape))))}


@case("broadcast_to", dtypes=EVERY)
def _broadcast_to(draw: Draw, dtype: str) -> Any:
    shape = sizes(draw)
    spread = tuple(draw(SIZE) if n == 1 else n for n in shape)
    return distinct(draw, dtype, shape), {"shape": sizes(draw, most=2) + spread}


@case("slice", dtypes=EVERY)
def _slice(draw: Draw, dtype: str) -> Any:
    shape = tuple(2 * n for n in sizes(draw))
    ends = [sorted((n - draw(st.integers(0, n)), n - draw(st.integers(0, n)))) for n in shape]
    step = [draw(st.integers(1, 3)) for _ in shape]
    attributes = {"start": [a for a, _ in ends], "stop": [b for _, b in ends], "step": step}
    return distinct(draw, dtype, shape), attributes


@case("pad", dtypes=EVERY)
def _pad(draw: Draw, dtype: str) -> Any:
    shape = sizes(draw)
    amounts = {side: [draw(st.integers(0, 2)) for _ in shape] for side in ("low", "high", "interior")}
    value = draw(st.sampled_from([0, 1]) if dtype in ("bool", "uint8") else st.integers(-2, 2))
    return distinct(draw, dtype, shape), {**amounts, "value": value}


@case("concat", dtypes=EVERY)
def _concat(draw: Draw, dtype: str) -> Any:
    shape = sizes(draw, least=1)
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    lengths = sizes(draw, least=1)
    at = axis % len(shape)
    return distinct(draw, dtype, *((*shape[:at], n, *shape[at + 1 :]) for n in lengths)), {"axis": axis}


@case("gather", dtypes=EVERY)
def _gather(draw: Draw, dtype: str) -> Any:
    shape = sizes(draw, least=1)
    chosen = sizes(draw, most=2) if shape[0] else (0,)
    return (*distinct(draw, dtype, shape), indices(draw, chosen, shape[0])), {}


@case("scatter_add", dtypes=ORDERED)
def _scatter_add(draw: Draw, dtype: str) -> Any:
    rows, chosen = draw(SIZE), sizes(draw, most=2)
    chosen = chosen if rows else (0,)
    return (*distinct(draw, dtype, chosen + sizes(draw, most=2)), indices(draw, chosen, rows)), {"size": rows}


@case("cast", dtypes=EVERY)
def _cast(draw: Draw, dtype: str) -> Any:
    return distinct(draw, dtype, sizes(draw)), {"dtype": draw(st.sampled_from(G.DTYPES))}


@case("iota", dtypes=ARITHMETIC)
def _iota(draw: Draw, dtype: str) -> Any:
    shape = sizes(draw, least=1)
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    return (), {"shape": shape, "axis": axis, "dtype": dtype}


@case("stop_gradient", dtypes=EVERY)
@case("neg", "abs", "sign", dtypes=ARITHMETIC)
@case("exp", "tanh", "sigmoid", "relu", "softplus")
def _unary(draw: Draw, dtype: str) -> Any:
    return distinct(draw, dtype, sizes(draw)), {}


@case("log", "sqrt")
def _positive(draw: Draw, dtype: str) -> Any:
    (x,) = distinct(draw, dtype, sizes(draw))
    return (np.asarray(abs(x) + 0.25, dtype),), {}


@case("pow")
def _pow(draw: Draw, dtype: str) -> Any:
    return _positive(draw, dtype)[0], {"exponent": draw(st.sampled_from([2, 1, 0, 3, 0.5, -1, 2.5, -0.75]))}


@case("add", "sub", "mul", "maximum", "minimum", dtypes=ARITHMETIC)
@case("greater", dtypes=ORDERED)
@case("equal", dtypes=EVERY)
def _binary(draw: Draw, dtype: str) -> Any:
    shape = sizes(draw)
    return distinct(draw, dtype, shape, shape), {}


@case("div")
def _div(draw: Draw, dtype: str) -> Any:
    a, b = _binary(draw, dtype)[0]
    return (a, np.asarray(b + np.copysign(0.25, b), dtype)), {}


@case("where", dtypes=EVERY)
def _where(draw: Draw, dtype: str) -> Any:
    a, b = _binary(draw, dtype)[0]
    return (indices(draw, a.shape, 2).astype(bool), a, b), {}


# Reductions


def axes_of(draw: Draw, shape: Sequence[int]) -> Any:
    some = st.sets(st.integers(0, len(shape) - 1)) if shape else st.just(set())
    return draw(st.one_of(st.none(), some.map(sorted)))


@case("reduce_sum", dtypes=ARITHMETIC)
@case("logsumexp")
def _reduction(draw: Draw, dtype: str) -> Any:
    shape = sizes(draw)
    return distinct(draw, dtype, shape), {"axes": axes_of(draw, shape)}


@case("reduce_max", dtypes=ARITHMETIC)
def _reduce_max(draw: Draw, dtype: str) -> Any:
    shape = sizes(draw)
    axes = axes_of(draw, shape)
    reduced = range(len(shape)) if axes is None else axes
    shape = tuple(max(n, 1) if a in reduced else n for a, n in enumerate(shape))
    return distinct(draw, dtype, shape), {"axes": axes}


@case("argmax", dtypes=ORDERED)
def _argmax(draw: Draw, dtype: str) -> Any:
    shape = list(sizes(draw, least=1))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    shape[axis] = max(shape[axis], 1)
    return distinct(draw, dtype, shape), {"axis": axis}


# Contractions


@case("matmul")
def _matmul(draw: Draw, dtype: str) -> Any:
    batch, (i, k, j) = sizes(draw, most=2), sizes(draw, least=3)
    return small(draw, dtype, (*batch, i, k), (*batch, k, j)), {}


def convolution(draw: Draw) -> tuple[list[int], list[int], list[int], dict[str, Any]]:
    """Shapes of image, filters and output, and the attributes."""
    groups = draw(st.integers(1, 2))
    batch, ins, outs = (draw(SIZE) for _ in range(3))
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
    return small(draw, dtype, image, filters), attributes


@case("conv2d_dx")
def _conv2d_dx(draw: Draw, dtype: str) -> Any:
    image, filters, output, attributes = convolution(draw)
    return small(draw, dtype, output, filters), {**attributes, "input_size": image[2:]}


@case("conv2d_dw")
def _conv2d_dw(draw: Draw, dtype: str) -> Any:
    image, filters, output, attributes = convolution(draw)
    return small(draw, dtype, image, output), {**attributes, "filter_size": filters[2:]}


# Pooling


def pooling(draw: Draw) -> tuple[list[int], list[int], dict[str, Any]]:
    """Shapes of image and output, and the attributes."""
    planes, window, extra = sizes(draw, 2, 2), pairs(draw, 1, 3), pairs(draw, 0, 3)
    stride = draw(st.one_of(st.none(), st.tuples(st.integers(1, 3), st.integers(1, 3))))
    image = [k + e for k, e in zip(window, extra, strict=True)]
    output = [e // s + 1 for e, s in zip(extra, stride or window, strict=True)]
    return [*planes, *image], [*planes, *output], {"window": window, "stride": stride}


@case("sum_pool2d", "max_pool2d", "max_pool2d_index")
def _pool2d(draw: Draw, dtype: str) -> Any:
    image, _, attributes = pooling(draw)
    return distinct(draw, dtype, image), attributes


@case("sum_pool2d_t")
def _sum_pool2d_t(draw: Draw, dtype: str) -> Any:
    image, output, attributes = pooling(draw)
    stride = attributes["stride"] or attributes["window"]
    return distinct(draw, dtype, output), {**attributes, "stride": stride, "input_size": image[2:]}


@case("pool_gather2d")
def _pool_gather2d(draw: Draw, dtype: str) -> Any:
    image, output, _ = pooling(draw)
    return (*distinct(draw, dtype, image), indices(draw, output, image[2] * image[3])), {}


@case("unpool2d")
def _unpool2d(draw: Draw, dtype: str) -> Any:
    image, output, _ = pooling(draw)
    chosen = indices(draw, output, image[2] * image[3])
    return (*distinct(draw, dtype, output), chosen), {"input_size": image[2:]}


@pytest.fixture(scope="session")
def cases() -> dict[str, Entry]:
    """For each primitive the dtypes that it takes and a rule that draws operands."""
    return CASES


@pytest.fixture(scope="session")
def draw_case() -> Callable[[Draw, str, str], Case]:
    """draw_case(draw, name, dtype): one case of a primitive."""

    def drawn(draw: Draw, name: str, dtype: str) -> Case:
        operands, attributes = CASES[name].rule(draw, dtype)
        return Case(name, operands, attributes)

    return drawn
