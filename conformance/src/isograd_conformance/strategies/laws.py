"""Equations that hold whatever the values: two ways to compute the same thing from the primitives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from math import prod

from hypothesis import strategies as st

from isograd import graph as G
from isograd_conformance.strategies.convolutions import Drawn, convolutions
from isograd_conformance.strategies.primitives import Draw

Sides = tuple[G.Tensor, G.Tensor]


class Variables:
    """Makes variables of one dtype, each with a name of its own."""

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype
        self.made: dict[str, G.Tensor] = {}

    def __call__(self, *shape: int) -> G.Tensor:
        """A variable for numbers of any value."""
        name = f"x{len(self.made)}"
        self.made[name] = G.variable(name, shape, self.dtype)
        return self.made[name]

    def convolution(self, draw: Draw) -> Drawn:
        """Image, filters and settings of a convolution."""
        x, w, settings = draw(convolutions((self.dtype,)))
        return self(*x.shape), self(*w.shape), settings


Law = Callable[[Draw, Variables], Sides]
LAWS: dict[str, Law] = {}


def law(build: Law) -> Law:
    """Enter an equation: from shapes that are drawn to its two sides."""
    LAWS[build.__name__.strip("_").replace("_", " ")] = build
    return build


def sizes(draw: Draw, number: int, most: int = 4) -> list[int]:
    return draw(st.lists(st.integers(1, most), min_size=number, max_size=number))  # type: ignore[no-any-return]


def taps(x: G.Tensor, kernel: Sequence[int], output: Sequence[int], stride: Sequence[int],
         dilation: Sequence[int] = (1, 1)) -> list[G.Tensor]:  # fmt: skip
    """For each pixel of a window, in row-major order, what it sees of the image: (n, c, *output)."""
    found = []
    for u, v in product(*map(range, kernel)):
        rows, columns = (
            slice(k * d, k * d + s * (n - 1) + 1, s)
            for k, d, s, n in zip((u, v), dilation, stride, output, strict=True)
        )
        found.append(x[:, :, rows, columns])
    return found


# Convolutions


@law
def _a_convolution_is_patches_by_weights(draw: Draw, make: Variables) -> Sides:
    x, w, settings = make.convolution(draw)
    y = G.conv2d(x, w, **settings)
    groups, (n, outs, *output) = settings["groups"], y.shape
    seen = taps(x, w.shape[2:], output, settings["stride"], settings["dilation"])
    patches = G.concat(*(t.reshape(n, groups, w.shape[1], 1, prod(output)) for t in seen), axis=3)
    patches = patches.reshape(n, groups, prod(w.shape[1:]), prod(output))
    filters = G.broadcast_to(
        w.reshape(1, groups, outs // groups, prod(w.shape[1:])),
        (n, groups, outs // groups, prod(w.shape[1:])),
    )
    return y, (filters @ patches).reshape(n, outs, *output)


@law
def _dilation_is_a_kernel_with_zeros_between(draw: Draw, make: Variables) -> Sides:
    x, w, settings = make.convolution(draw)
    between = [0, 0, *(d - 1 for d in settings["dilation"])]
    stuffed = G.pad(w, low=[0] * 4, high=[0] * 4, interior=between)
    return G.conv2d(x, w, **settings), G.conv2d(x, stuffed, **{**settings, "dilation": (1, 1)})


@law
def _groups_are_separate_convolutions(draw: Draw, make: Variables) -> Sides:
    x, w, settings = make.convolution(draw)
    groups, alone = settings["groups"], {**settings, "groups": 1}
    ins, outs = x.shape[1] // groups, w.shape[0] // groups
    parts = [
        G.conv2d(x[:, g * ins : (g + 1) * ins], w[g * outs : (g + 1) * outs], **alone) for g in range(groups)
    ]
    return G.conv2d(x, w, **settings), G.concat(*parts, axis=1)


@law
def _a_stride_leaves_out_what_lies_between(draw: Draw, make: Variables) -> Sides:
    x, w, settings = make.convolution(draw)
    s, t = settings["stride"]
    return G.conv2d(x, w, **settings), G.conv2d(x, w, **{**settings, "stride": (1, 1)})[:, :, ::s, ::t]


@law
def _a_convolution_moves_with_its_image(draw: Draw, make: Variables) -> Sides:
    x, w, settings = make.convolution(draw)
    s, t = settings["stride"]
    wider = make(*x.shape[:2], x.shape[2] + 2 * s, x.shape[3] + t)
    moved = G.conv2d(wider[:, :, 2 * s :, t:], w, **settings)
    return G.conv2d(wider, w, **settings)[:, :, 2:, 1:], moved


@law
def _the_gradient_of_the_image_is_the_adjoint(draw: Draw, make: Variables) -> Sides:
    x, w, settings = make.convolution(draw)
    y = G.conv2d(x, w, **settings)
    g = make(*y.shape)
    return (y * g).sum(), (x * G.conv2d_dx(g, w, input_size=x.shape[2:], **settings)).sum()


@law
def _the_gradient_of_the_filters_is_the_adjoint(draw: Draw, make: Variables) -> Sides:
    x, w, settings = make.convolution(draw)
    y = G.conv2d(x, w, **settings)
    g = make(*y.shape)
    return (y * g).sum(), (w * G.conv2d_dw(x, g, filter_size=w.shape[2:], **settings)).sum()


@law
def _the_gradient_of_the_image_adds_each_tap_in_its_place(draw: Draw, make: Variables) -> Sides:
    x, w, settings = make.convolution(draw)
    settings = {**settings, "groups": 1}
    w = make(w.shape[0], x.shape[1], *w.shape[2:])
    y = G.conv2d(x, w, **settings)
    g = make(*y.shape)
    (s, t), (d, e), (height, width) = settings["stride"], settings["dilation"], x.shape[2:]
    n, outs, oh, ow = y.shape
    total: G.Tensor | None = None
    for u, v in product(range(w.shape[2]), range(w.shape[3])):
        tap = w[:, :, u : u + 1, v : v + 1].reshape(outs, x.shape[1]).transpose()
        part = G.broadcast_to(tap, (n, *tap.shape)) @ g.reshape(n, outs, oh * ow)
        high = [0, 0, height - u * d - s * (oh - 1) - 1, width - v * e - t * (ow - 1) - 1]
        placed = G.pad(
            part.reshape(n, x.shape[1], oh, ow),
            low=[0, 0, u * d, v * e],
            high=high,
            interior=[0, 0, s - 1, t - 1],
        )
        total = placed if total is None else total + placed
    assert total is not None
    return G.conv2d_dx(g, w, input_size=(height, width), **settings), total


# Pooling


def _pooling(draw: Draw, make: Variables) -> tuple[G.Tensor, tuple[int, int], tuple[int, int]]:
    window, stride, extra = (tuple(sizes(draw, 2, 3)) for _ in range(3))
    planes = sizes(draw, 2, 3)
    return make(*planes, *(k + e for k, e in zip(window, extra, strict=True))), window, stride  # type: ignore[return-value]


@law
def _max_pooling_is_the_maximum_of_slices(draw: Draw, make: Variables) -> Sides:
    x, window, stride = _pooling(draw, make)
    y = G.max_pool2d(x, window=window, stride=stride)
    first, *others = taps(x, window, y.shape[2:], stride)
    for other in others:
        first = G.maximum(first, other)
    return y, first


@law
def _sum_pooling_is_the_sum_of_slices(draw: Draw, make: Variables) -> Sides:
    x, window, stride = _pooling(draw, make)
    y = G.sum_pool2d(x, window=window, stride=stride)
    first, *others = taps(x, window, y.shape[2:], stride)
    for other in others:
        first = first + other
    return y, first


@law
def _pooling_moves_with_its_image(draw: Draw, make: Variables) -> Sides:
    x, window, stride = _pooling(draw, make)
    wider = make(*x.shape[:2], x.shape[2] + stride[0], x.shape[3] + 2 * stride[1])
    moved = wider[:, :, stride[0] :, 2 * stride[1] :]
    pools = [G.max_pool2d, G.sum_pool2d, G.l2_pool2d]
    left, right = ([pool(image, window=window, stride=stride) for pool in pools] for image in (wider, moved))
    return G.concat(*(y[:, :, 1:, 2:] for y in left), axis=1), G.concat(*right, axis=1)


@law
def _a_pooled_maximum_is_the_pixel_at_its_index(draw: Draw, make: Variables) -> Sides:
    x, window, stride = _pooling(draw, make)
    index = G.max_pool2d_index(x, window=window, stride=stride)
    return G.max_pool2d(x, window=window, stride=stride), G.pool_gather2d(x, index)


# Structure, products, reductions


@law
def _padding_is_joining_with_constants(draw: Draw, make: Variables) -> Sides:
    x, (low, high) = make(*sizes(draw, 3)), sizes(draw, 2, 3)
    axis = draw(st.integers(0, 2))
    value = draw(st.sampled_from([0.0, -1.5]))
    around = [
        G.broadcast_to(
            G.constant(value, x.dtype), tuple(n if a == axis else m for a, m in enumerate(x.shape))
        )
        for n in (low, high)
    ]
    amounts = [[n if a == axis else 0 for a in range(3)] for n in (low, high)]
    padded = G.pad(x, low=amounts[0], high=amounts[1], interior=[0] * 3, value=value)
    return padded, G.concat(around[0], x, around[1], axis=axis)


@law
def _the_transpose_of_a_product(draw: Draw, make: Variables) -> Sides:
    i, k, j, n = sizes(draw, 4)
    a, b = make(n, i, k), make(n, k, j)
    swap = (0, 2, 1)
    return G.transpose(a @ b, axes=swap), G.transpose(b, axes=swap) @ G.transpose(a, axes=swap)


@law
def _a_product_is_a_sum_over_the_inner_axis(draw: Draw, make: Variables) -> Sides:
    i, k, j, n = sizes(draw, 4)
    a, b = make(n, i, k), make(n, k, j)
    return a @ b, (a.reshape(n, i, k, 1) * b.reshape(n, 1, k, j)).sum(2)


@law
def _a_product_with_joined_rows_is_joined(draw: Draw, make: Variables) -> Sides:
    i, k, j, n = sizes(draw, 4)
    a, c, b = make(i, k), make(n, k), make(k, j)
    return G.concat(a, c, axis=0) @ b, G.concat(a @ b, c @ b, axis=0)


@law
def _sums_over_two_axes_are_sums_of_sums(draw: Draw, make: Variables) -> Sides:
    x = make(*sizes(draw, 4))
    return x.sum((1, 3)), x.sum(3).sum(1)


@law
def _maxima_over_two_axes_are_maxima_of_maxima(draw: Draw, make: Variables) -> Sides:
    x = make(*sizes(draw, 4))
    return x.max((0, 2)), x.max(0).max(1)


@law
def _a_logsumexp_of_logsumexps(draw: Draw, make: Variables) -> Sides:
    x = make(*sizes(draw, 3))
    return G.logsumexp(x, axes=(0, 2)), G.logsumexp(G.logsumexp(x, axes=2), axes=0)


@law
def _softmax_does_not_see_a_shift(draw: Draw, make: Variables) -> Sides:
    z = make(*sizes(draw, 2))
    return G.softmax(z), G.softmax(z + draw(st.sampled_from([8.0, -64.0, 1024.0])))


@law
def _a_softmax_adds_up_to_one(draw: Draw, make: Variables) -> Sides:
    z = make(*sizes(draw, 2))
    return G.softmax(z).sum(1), G.broadcast_to(G.constant(1.0, z.dtype), z.shape[:1])


@law
def _maximum_and_minimum_add_up(draw: Draw, make: Variables) -> Sides:
    a, b = (make(*shape) for shape in [sizes(draw, 2)] * 2)
    return G.maximum(a, b) + G.minimum(a, b), a + b


@law
def _sigmoid_is_odd_about_a_half(draw: Draw, make: Variables) -> Sides:
    x = make(*sizes(draw, 2))
    return G.sigmoid(-x), 1 - G.sigmoid(x)


@law
def _tanh_is_a_sigmoid(draw: Draw, make: Variables) -> Sides:
    x = make(*sizes(draw, 2))
    return G.tanh(x), 2 * G.sigmoid(2 * x) - 1


@law
def _softplus_is_a_logarithm(draw: Draw, make: Variables) -> Sides:
    x = make(*sizes(draw, 2))
    return G.softplus(x), G.log(G.exp(x) + 1)


@law
def _a_power_is_a_product_or_a_root(draw: Draw, make: Variables) -> Sides:
    x = G.abs_(make(*sizes(draw, 2)))
    return G.concat(x**3, x**0.5, x**-1, axis=0), G.concat(x * x * x, G.sqrt(x), 1 / x, axis=0)


@law
def _relu_is_half_of_the_number_and_its_size(draw: Draw, make: Variables) -> Sides:
    x = make(*sizes(draw, 2))
    return G.relu(x), (x + G.abs_(x)) * 0.5
