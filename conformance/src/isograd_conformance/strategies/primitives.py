"""Applications of every primitive of the table: shapes and attributes that fit, and what values they take."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from isograd.graph import DTYPES, FLOATING
from isograd.graph.dtypes import ARITHMETIC, ORDERED
from isograd_conformance.strategies.arrays import Fill, below, finite, not_negative, numbers, truths
from isograd_conformance.subject import HostArray

EVERY = frozenset(DTYPES)
Draw = Callable[[st.SearchStrategy[Any]], Any]
Shape = tuple[int, ...]

# Few sizes are 0, because what is empty proves little; shrinking leads to 1.
SIZE = st.sampled_from([1, 2, 3, 5, 1, 2, 3, 4, 1, 2, 3, 0])


class Operand(NamedTuple):
    """What one operand is: its values are drawn later, as often as wanted."""

    shape: Shape
    dtype: str
    fill: Fill = numbers


@dataclass(frozen=True)
class Application:
    """A primitive with its operands and attributes."""

    primitive: str
    operands: tuple[Operand, ...]
    attributes: Mapping[str, Any]


# No gradient flows through these.
WITHOUT_GRADIENT = frozenset({"argmax", "max_pool2d_index", "greater", "equal", "iota", "stop_gradient"})
# These have no value, or no slope, where the operand is negative.
OF_POSITIVE = frozenset({"log", "sqrt", "pow"})

Rule = Callable[[Draw, str], tuple[Sequence[Operand], Mapping[str, Any]]]


class Entry(NamedTuple):
    """Which dtypes a primitive takes, and a rule that draws its operands and attributes for one of them."""

    dtypes: frozenset[str]
    rule: Rule


CASES: dict[str, Entry] = {}


def case(*names: str, dtypes: Collection[str] = FLOATING) -> Callable[[Rule], Rule]:
    """Enter a rule for the primitives named."""

    def enter(rule: Rule) -> Rule:
        CASES.update(dict.fromkeys(names, Entry(frozenset(dtypes), rule)))
        return rule

    return enter


@st.composite
def applications(draw: st.DrawFn, primitive: str, dtype: str) -> Application:
    """The primitive, applied to operands of the dtype."""
    operands, attributes = CASES[primitive].rule(draw, dtype)
    return Application(primitive, tuple(operands), attributes)


def differentiable() -> list[str]:
    """The primitives that have a gradient."""
    return sorted(CASES.keys() - WITHOUT_GRADIENT)


def smooth(application: Application, rng: np.random.Generator) -> list[HostArray]:
    """Operands where the primitive has a derivative: different from each other and within its domain."""
    drawn = [o.fill(rng, "ordinary", o.shape, o.dtype) for o in application.operands]
    return [abs(array) for array in drawn] if application.primitive in OF_POSITIVE else drawn


def sizes(draw: Draw, least: int = 0, most: int = 3) -> Shape:
    return tuple(draw(st.lists(SIZE, min_size=least, max_size=most)))


def pairs(draw: Draw, low: int, high: int) -> tuple[int, int]:
    return draw(st.tuples(st.integers(low, high), st.integers(low, high)))  # type: ignore[no-any-return]


def indices(shape: Shape, limit: int) -> Operand:
    return Operand(shape, "int32", below(limit))


# Structure


@case("reshape", dtypes=EVERY)
def _reshape(draw: Draw, dtype: str) -> Any:
    shape = sizes(draw)
    wanted = draw(st.sampled_from([(*shape[::-1], 1), (1, *shape[1:], *shape[:1]), (prod(shape),)]))
    return [Operand(shape, dtype)], {"shape": wanted}


@case("transpose", dtypes=EVERY)
def _transpose(draw: Draw, dtype: str) -> Any:
    shape = sizes(draw, most=4)
    return [Operand(shape, dtype)], {"axes": draw(st.permutations(range(len(shape))))}


@case("broadcast_to", dtypes=EVERY)
def _broadcast_to(draw: Draw, dtype: str) -> Any:
    shape = sizes(draw)
    spread = tuple(draw(SIZE) if n == 1 else n for n in shape)
    return [Operand(shape, dtype)], {"shape": sizes(draw, most=2) + spread}


@case("slice", dtypes=EVERY)
def _slice(draw: Draw, dtype: str) -> Any:
    shape = sizes(draw)
    ends = [(draw(st.integers(0, n // 2)), n - draw(st.integers(0, n // 2))) for n in shape]
    start, stop = ([end[i] for end in ends] for i in (0, 1))
    step = [draw(st.integers(1, 3)) for _ in shape]
    return [Operand(shape, dtype)], {"start": start, "stop": stop, "step": step}


@case("pad", dtypes=EVERY)
def _pad(draw: Draw, dtype: str) -> Any:
    shape = sizes(draw)
    amounts = {side: [draw(st.integers(0, 2)) for _ in shape] for side in ("low", "high", "interior")}
    whole = {"bool": [0, 1], "uint8": [0, 255], "int32": [0, -7]}
    values = whole.get(dtype, [0.0, -0.5, float("inf"), float("nan")])
    return [Operand(shape, dtype)], {**amounts, "value": draw(st.sampled_from(values))}


@case("concat", dtypes=EVERY)
def _concat(draw: Draw, dtype: str) -> Any:
    shape = sizes(draw, least=1)
    at = draw(st.integers(0, len(shape) - 1))
    lengths = sizes(draw, least=1)
    return [Operand((*shape[:at], n, *shape[at + 1 :]), dtype) for n in lengths], {"axis": at}


@case("gather", dtypes=EVERY)
def _gather(draw: Draw, dtype: str) -> Any:
    shape = sizes(draw, least=1)
    chosen = sizes(draw, most=2) if shape[0] else (0,)
    return [Operand(shape, dtype), indices(chosen, shape[0])], {}


@case("scatter_add", dtypes=ORDERED)
def _scatter_add(draw: Draw, dtype: str) -> Any:
    rows, chosen = draw(SIZE), sizes(draw, most=2)
    chosen = chosen if rows else (0,)
    return [Operand(chosen + sizes(draw, most=2), dtype, finite), indices(chosen, rows)], {"size": rows}


@case("cast", dtypes=EVERY)
def _cast(draw: Draw, dtype: str) -> Any:
    wanted = draw(st.sampled_from(DTYPES))
    # What NaN or a number out of range becomes is not defined.
    narrows = wanted in ("int32", "uint8") and dtype in (*FLOATING, "int32")
    return [Operand(sizes(draw), dtype, not_negative if narrows else numbers)], {"dtype": wanted}


@case("iota", dtypes=ARITHMETIC)
def _iota(draw: Draw, dtype: str) -> Any:
    shape = sizes(draw, least=1)
    return [], {"shape": shape, "axis": draw(st.integers(0, len(shape) - 1)), "dtype": dtype}


# Elementwise


@case("stop_gradient", dtypes=EVERY)
@case("neg", "abs", "sign", dtypes=ARITHMETIC)
@case("exp", "log", "sqrt", "tanh", "sigmoid", "relu", "softplus")
def _unary(draw: Draw, dtype: str) -> Any:
    return [Operand(sizes(draw), dtype)], {}


@case("pow")
def _pow(draw: Draw, dtype: str) -> Any:
    exponent = draw(st.sampled_from([2, 1, 0, 3, 0.5, -1, -2, 2.5, -0.75]))
    return [Operand(sizes(draw), dtype)], {"exponent": exponent}


@case("add", "sub", "mul", "maximum", "minimum", dtypes=ARITHMETIC)
@case("div")
@case("greater", dtypes=ORDERED)
@case("equal", dtypes=EVERY)
def _binary(draw: Draw, dtype: str) -> Any:
    shape = sizes(draw)
    return [Operand(shape, dtype)] * 2, {}


@case("where", dtypes=EVERY)
def _where(draw: Draw, dtype: str) -> Any:
    shape = sizes(draw)
    return [Operand(shape, "bool", truths), Operand(shape, dtype), Operand(shape, dtype)], {}


# Reductions


def _axes(draw: Draw, shape: Shape) -> list[int]:
    least = draw(st.sampled_from([1, 1, 0])) if shape else 0
    return sorted(draw(st.sets(st.integers(0, len(shape) - 1), min_size=least))) if shape else []


def _reducible(draw: Draw) -> Shape:
    """Most have two axes or more, since reducing what has none shows nothing."""
    return sizes(draw, least=draw(st.sampled_from([2, 3, 2, 0])), most=4)


@case("reduce_sum", dtypes=ARITHMETIC)
@case("logsumexp")
def _reduction(draw: Draw, dtype: str) -> Any:
    shape = _reducible(draw)
    return [Operand(shape, dtype)], {"axes": _axes(draw, shape)}


@case("reduce_max", dtypes=ARITHMETIC)
def _reduce_max(draw: Draw, dtype: str) -> Any:
    shape = _reducible(draw)
    axes = _axes(draw, shape)
    filled = tuple(max(n, 1) if a in axes else n for a, n in enumerate(shape))
    return [Operand(filled, dtype)], {"axes": axes}


@case("argmax", dtypes=ORDERED)
def _argmax(draw: Draw, dtype: str) -> Any:
    shape = sizes(draw, least=1)
    axis = draw(st.integers(0, len(shape) - 1))
    filled = tuple(max(n, 1) if a == axis else n for a, n in enumerate(shape))
    return [Operand(filled, dtype)], {"axis": axis}


# Contractions


@case("matmul")
def _matmul(draw: Draw, dtype: str) -> Any:
    (i, k, j), batch = sizes(draw, 3, 3), sizes(draw, most=2)
    return [Operand((*batch, i, k), dtype, finite), Operand((*batch, k, j), dtype, finite)], {}


class Geometry(NamedTuple):
    """The shapes that belong to one convolution or pooling."""

    image: Shape
    filters: Shape
    output: Shape
    attributes: dict[str, Any]


def convolution(draw: Draw) -> Geometry:
    """Stride, dilation and groups of any kind; borders that no window reaches."""
    groups, (batch, ins, outs) = draw(st.integers(1, 2)), sizes(draw, 3, 3)
    # Most have more than one pixel, without which a dilation means nothing.
    kernels, dilations = st.sampled_from([1, 2, 3, 2, 3]), st.sampled_from([1, 2, 2])
    kernel, dilation = (draw(st.tuples(part, part)) for part in (kernels, dilations))
    stride, extra = pairs(draw, 1, 3), pairs(draw, 0, 3)
    image = [d * (k - 1) + 1 + e for d, k, e in zip(dilation, kernel, extra, strict=True)]
    output = [e // s + 1 for e, s in zip(extra, stride, strict=True)]
    return Geometry(
        (batch, ins * groups, *image),
        (outs * groups, ins, *kernel),
        (batch, outs * groups, *output),
        {"stride": stride, "dilation": dilation, "groups": groups},
    )


@case("conv2d")
def _conv2d(draw: Draw, dtype: str) -> Any:
    g = convolution(draw)
    return [Operand(g.image, dtype, finite), Operand(g.filters, dtype, finite)], g.attributes


@case("conv2d_dx")
def _conv2d_dx(draw: Draw, dtype: str) -> Any:
    g = convolution(draw)
    operands = [Operand(g.output, dtype, finite), Operand(g.filters, dtype, finite)]
    return operands, {**g.attributes, "input_size": g.image[2:]}


@case("conv2d_dw")
def _conv2d_dw(draw: Draw, dtype: str) -> Any:
    g = convolution(draw)
    operands = [Operand(g.image, dtype, finite), Operand(g.output, dtype, finite)]
    return operands, {**g.attributes, "filter_size": g.filters[2:]}


# Pooling


def pooling(draw: Draw) -> Geometry:
    """Windows overlap, touch, or leave pixels out."""
    planes, window, extra = sizes(draw, 2, 2), pairs(draw, 1, 3), pairs(draw, 0, 3)
    stride = draw(st.one_of(st.just(window), st.tuples(st.integers(1, 4), st.integers(1, 4))))
    image = [k + e for k, e in zip(window, extra, strict=True)]
    output = [e // s + 1 for e, s in zip(extra, stride, strict=True)]
    return Geometry((*planes, *image), (), (*planes, *output), {"window": window, "stride": stride})


@case("sum_pool2d", "max_pool2d", "max_pool2d_index")
def _pool2d(draw: Draw, dtype: str) -> Any:
    g = pooling(draw)
    return [Operand(g.image, dtype)], g.attributes


@case("sum_pool2d_t")
def _sum_pool2d_t(draw: Draw, dtype: str) -> Any:
    g = pooling(draw)
    return [Operand(g.output, dtype)], {**g.attributes, "input_size": g.image[2:]}


@case("pool_gather2d")
def _pool_gather2d(draw: Draw, dtype: str) -> Any:
    g = pooling(draw)
    return [Operand(g.image, dtype), indices(g.output, prod(g.image[2:]))], {}


@case("unpool2d")
def _unpool2d(draw: Draw, dtype: str) -> Any:
    g = pooling(draw)
    operands = [Operand(g.output, dtype, finite), indices(g.output, prod(g.image[2:]))]
    return operands, {"input_size": g.image[2:]}
