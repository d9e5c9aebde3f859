"""Each primitive of the table, element by element."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from isograd.graph import FLOATING
from isograd_conformance.exact import numbers
from isograd_conformance.exact.numbers import Exact, number, total

Index = tuple[int, ...]
EXACT: dict[str, Callable[..., Exact]] = {}


def define(name: str) -> Callable[[Callable[..., Exact]], Callable[..., Exact]]:
    """Enter the definition of a primitive: from object arrays and attributes to an object array."""

    def enter(definition: Callable[..., Exact]) -> Callable[..., Exact]:
        EXACT[name] = definition
        return definition

    return enter


def each(shape: Sequence[int], element: Callable[[Index], Any]) -> Exact:
    """The array whose element at an index is what the function says."""
    made = np.empty(tuple(shape), object)
    for at in np.ndindex(*shape):
        made[at] = element(at)
    return made


def elementwise(function: Callable[..., Any]) -> Callable[..., Exact]:
    return lambda *xs, **attributes: each(
        xs[0].shape, lambda at: function(*(x[at] for x in xs), **attributes)
    )


# Structure


def _position(at: Index, shape: Sequence[int]) -> int:
    """The number of an element in row-major order."""
    position = 0
    for i, n in zip(at, shape, strict=True):
        position = position * n + i
    return position


@define("reshape")
def _reshape(x: Exact, *, shape: Any) -> Exact:
    ordered = [x[at] for at in np.ndindex(x.shape)]
    return each(shape, lambda at: ordered[_position(at, shape)])


@define("transpose")
def _transpose(x: Exact, *, axes: Any) -> Exact:
    return each([x.shape[a] for a in axes], lambda at: x[tuple(at[axes.index(a)] for a in range(x.ndim))])


@define("broadcast_to")
def _broadcast_to(x: Exact, *, shape: Any) -> Exact:
    new = len(shape) - x.ndim
    return each(
        shape, lambda at: x[tuple(0 if n == 1 else i for i, n in zip(at[new:], x.shape, strict=True))]
    )


@define("slice")
def _slice(x: Exact, *, start: Any, stop: Any, step: Any) -> Exact:
    shape = [max(0, -((a - b) // s)) for a, b, s in zip(start, stop, step, strict=True)]
    return each(shape, lambda at: x[tuple(a + i * s for a, i, s in zip(start, at, step, strict=True))])


@define("pad")
def _pad(x: Exact, *, low: Any, high: Any, interior: Any, value: Any) -> Exact:
    shape = [a + n + b + i * max(n - 1, 0) for a, n, b, i in zip(low, x.shape, high, interior, strict=True)]

    def element(at: Index) -> Any:
        places = [divmod(i - a, between + 1) for i, a, between in zip(at, low, interior, strict=True)]
        inside = all(rest == 0 and 0 <= i < n for (i, rest), n in zip(places, x.shape, strict=True))
        return x[tuple(i for i, _ in places)] if inside else value

    return each(shape, element)


@define("concat")
def _concat(*xs: Exact, axis: int) -> Exact:
    sources = [(x, i) for x in xs for i in range(x.shape[axis])]
    shape = (*xs[0].shape[:axis], len(sources), *xs[0].shape[axis + 1 :])

    def element(at: Index) -> Any:
        x, i = sources[at[axis]]
        return x[(*at[:axis], i, *at[axis + 1 :])]

    return each(shape, element)


@define("gather")
def _gather(x: Exact, indices: Exact) -> Exact:
    n = indices.ndim
    return each((*indices.shape, *x.shape[1:]), lambda at: x[(indices[at[:n]], *at[n:])])


@define("scatter_add")
def _scatter_add(updates: Exact, indices: Exact, *, size: int) -> Exact:
    def element(at: Index) -> Any:
        return total(updates[(*p, *at[1:])] for p in np.ndindex(indices.shape) if indices[p] == at[0])

    return each((size, *updates.shape[indices.ndim :]), element)


@define("cast")
def _cast(x: Exact, *, dtype: str) -> Exact:
    if dtype in FLOATING:
        return elementwise(lambda v: v if isinstance(v, float) else number(int(v) if v is True else v))(x)
    return elementwise(lambda v: v != 0 if dtype == "bool" else numbers.truncated(v))(x)


@define("iota")
def _iota(*, shape: Any, axis: int, dtype: str) -> Exact:
    return each(shape, lambda at: at[axis])


# Elementwise

_ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "stop_gradient": lambda x: x,
    "neg": lambda x: -x,
    "exp": numbers.exp,
    "log": numbers.log,
    "sqrt": numbers.sqrt,
    "tanh": numbers.tanh,
    "sigmoid": numbers.sigmoid,
    "relu": numbers.relu,
    "softplus": numbers.softplus,
    "abs": numbers.absolute,
    "sign": numbers.sign,
    "add": lambda x, y: total([x, y]),
    "sub": lambda x, y: total([x, -y]),
    "mul": lambda x, y: x * y if isinstance(x, int) else number(x) * number(y),
    "div": numbers.divided,
    "pow": numbers.power,
    "maximum": lambda x, y: numbers.largest([x, y]),
    "minimum": lambda x, y: -numbers.largest([-x, -y]),
    "greater": lambda x, y: bool(x > y),
    "equal": lambda x, y: bool(x == y),
    "where": lambda condition, x, y: x if condition else y,
}
for _name, _function in _ELEMENTWISE.items():
    define(_name)(elementwise(_function))


# Reductions


def _reduced(x: Exact, axes: Sequence[int], combine: Callable[[Iterator[Any]], Any]) -> Exact:
    kept = [a for a in range(x.ndim) if a not in axes]

    def along(at: Index) -> Iterator[Any]:
        for inner in product(*(range(x.shape[a]) for a in axes)):
            where = dict(zip(kept, at, strict=True)) | dict(zip(axes, inner, strict=True))
            yield x[tuple(where[a] for a in range(x.ndim))]

    return each([x.shape[a] for a in kept], lambda at: combine(along(at)))


@define("reduce_sum")
def _reduce_sum(x: Exact, *, axes: Any) -> Exact:
    return _reduced(x, axes, total)


@define("reduce_max")
def _reduce_max(x: Exact, *, axes: Any) -> Exact:
    return _reduced(x, axes, numbers.largest)


@define("argmax")
def _argmax(x: Exact, *, axis: int) -> Exact:
    return _reduced(x, [axis], numbers.first_largest)


@define("logsumexp")
def _logsumexp(x: Exact, *, axes: Any) -> Exact:
    return _reduced(x, axes, numbers.log_sum_exp)


# Contractions


@define("matmul")
def _matmul(a: Exact, b: Exact) -> Exact:
    def element(at: Index) -> Any:
        *batch, i, j = at
        return total(number(a[(*batch, i, k)]) * number(b[(*batch, k, j)]) for k in range(a.shape[-1]))

    return each((*a.shape[:-1], b.shape[-1]), element)


def _taps(
    outs: int, ins: int, output: Sequence[int], kernel: Sequence[int], settings: dict[str, Any]
) -> Iterator[tuple[Index, Index, Index]]:
    """Each product of a convolution, as indices (o, i, j), (o, c, u, v) and (channel, row, column).

    The output at (i, j) of map o sees the image at (i s + u d, j s + v d) of channel c of o's group.
    """
    (s, t), (d, e), groups = settings["stride"], settings["dilation"], settings["groups"]
    for o, i, j, c, u, v in product(*map(range, (outs, *output, ins, *kernel))):
        channel = o // (outs // groups) * ins + c
        yield (o, i, j), (o, c, u, v), (channel, i * s + u * d, j * t + v * e)


@define("conv2d")
def _conv2d(x: Exact, w: Exact, **settings: Any) -> Exact:
    size = [
        (n - (k - 1) * d - 1) // s + 1
        for n, k, s, d in zip(x.shape[2:], w.shape[2:], settings["stride"], settings["dilation"], strict=True)
    ]
    y = each((x.shape[0], w.shape[0], *size), lambda at: number(0))
    for out, tap, pixel in _taps(w.shape[0], w.shape[1], size, w.shape[2:], settings):
        for n in range(x.shape[0]):
            y[(n, *out)] += number(x[(n, *pixel)]) * number(w[tap])
    return y


@define("conv2d_dx")
def _conv2d_dx(g: Exact, w: Exact, *, input_size: Any, **settings: Any) -> Exact:
    channels = w.shape[1] * settings["groups"]
    dx = each((g.shape[0], channels, *input_size), lambda at: number(0))
    for out, tap, pixel in _taps(w.shape[0], w.shape[1], g.shape[2:], w.shape[2:], settings):
        for n in range(g.shape[0]):
            dx[(n, *pixel)] += number(g[(n, *out)]) * number(w[tap])
    return dx


@define("conv2d_dw")
def _conv2d_dw(x: Exact, g: Exact, *, filter_size: Any, **settings: Any) -> Exact:
    ins = x.shape[1] // settings["groups"]
    dw = each((g.shape[1], ins, *filter_size), lambda at: number(0))
    for out, tap, pixel in _taps(g.shape[1], ins, g.shape[2:], filter_size, settings):
        for n in range(g.shape[0]):
            dw[tap] += number(g[(n, *out)]) * number(x[(n, *pixel)])
    return dw


# Pooling


def _window(at: Index, window: Any, stride: Any) -> list[tuple[int, int]]:
    """The rows and columns of the pixels that the output at (..., i, j) sees, in row-major order."""
    i, j = at[-2:]
    return [(i * stride[0] + u, j * stride[1] + v) for u, v in product(range(window[0]), range(window[1]))]


def _pooled(x: Exact, window: Any, stride: Any, combine: Callable[[list[Any], list[int]], Any]) -> Exact:
    size = [(n - k) // s + 1 for n, k, s in zip(x.shape[2:], window, stride, strict=True)]

    def element(at: Index) -> Any:
        pixels = _window(at, window, stride)
        return combine([x[(*at[:2], *p)] for p in pixels], [r * x.shape[3] + c for r, c in pixels])

    return each((*x.shape[:2], *size), element)


@define("sum_pool2d")
def _sum_pool2d(x: Exact, *, window: Any, stride: Any) -> Exact:
    return _pooled(x, window, stride, lambda values, places: total(values))


@define("max_pool2d")
def _max_pool2d(x: Exact, *, window: Any, stride: Any) -> Exact:
    return _pooled(x, window, stride, lambda values, places: numbers.largest(values))


@define("max_pool2d_index")
def _max_pool2d_index(x: Exact, *, window: Any, stride: Any) -> Exact:
    return _pooled(x, window, stride, lambda values, places: places[numbers.first_largest(values)])


@define("sum_pool2d_t")
def _sum_pool2d_t(g: Exact, *, window: Any, stride: Any, input_size: Any) -> Exact:
    def element(at: Index) -> Any:
        seen = [out for out in np.ndindex(g.shape[2:]) if at[2:] in _window(out, window, stride)]
        return total(g[(*at[:2], *out)] for out in seen)

    return each((*g.shape[:2], *input_size), element)


@define("pool_gather2d")
def _pool_gather2d(x: Exact, index: Exact) -> Exact:
    return each(index.shape, lambda at: x[(*at[:2], *divmod(index[at], x.shape[3]))])


@define("unpool2d")
def _unpool2d(g: Exact, index: Exact, *, input_size: Any) -> Exact:
    def element(at: Index) -> Any:
        place = _position(at[2:], input_size)
        plane = [(*at[:2], *out) for out in np.ndindex(g.shape[2:])]
        return total(g[out] for out in plane if index[out] == place)

    return each((*g.shape[:2], *input_size), element)
