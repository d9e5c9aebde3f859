"""Other ways to compute a primitive, all of them right."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from isograd import graph as G
from isograd.graph import Tensor
from isograd.graph.reference import REFERENCE
from isograd_conformance.subject import HostArray

# Sums of products, by the ways in which their terms may be added.


def in_reverse(a: HostArray, b: HostArray) -> HostArray:
    y = np.zeros((*a.shape[:-1], b.shape[-1]), a.dtype)
    for k in reversed(range(a.shape[-1])):
        y += a[..., :, k, None] * b[..., None, k, :]
    return y


def _in_pairs(terms: HostArray) -> HostArray:
    """The sum over axis 0 as a balanced tree."""
    while len(terms) > 1:
        odd = terms[len(terms) // 2 * 2 :]
        terms = np.concatenate([terms[0 : len(terms) // 2 * 2 : 2] + terms[1::2], odd])
    return terms[0] if len(terms) else np.zeros(terms.shape[1:], terms.dtype)


def product_in_pairs(a: HostArray, b: HostArray) -> HostArray:
    return _in_pairs(
        np.stack([a[..., :, k, None] * b[..., None, k, :] for k in range(a.shape[-1])])
        if a.shape[-1]
        else np.zeros((0, *a.shape[:-1], b.shape[-1]), a.dtype)
    )


def in_blocks(a: HostArray, b: HostArray) -> HostArray:
    """The inner length in blocks of three, each a sum of its own."""
    y = np.zeros((*a.shape[:-1], b.shape[-1]), a.dtype)
    for k in range(0, a.shape[-1], 3):
        y += REFERENCE["matmul"](a[..., k : k + 3], b[..., k : k + 3, :])
    return y


def fused(a: HostArray, b: HostArray) -> HostArray:
    """Fused multiply-add: each product is added without having been rounded."""
    y = np.zeros((*a.shape[:-1], b.shape[-1]), a.dtype)
    for k in range(a.shape[-1]):
        wide = y.astype("longdouble")
        y = (wide + a[..., :, k, None].astype("longdouble") * b[..., None, k, :]).astype(a.dtype)
    return y


def rounded_once(a: HostArray, b: HostArray) -> HostArray:
    return np.asarray(np.matmul(a.astype("longdouble"), b.astype("longdouble")).astype(a.dtype))


def _total(x: HostArray, axes: Any) -> HostArray:
    """What is summed as axis 0."""
    kept = [a for a in range(x.ndim) if a not in axes]
    terms = math.prod(x.shape[a] for a in axes)
    return x.transpose([*axes, *kept]).reshape(terms, *(x.shape[a] for a in kept))


def sum_in_reverse(x: HostArray, *, axes: Any) -> HostArray:
    if not axes or x.dtype.kind != "f":
        return REFERENCE["reduce_sum"](x, axes=axes)
    terms = _total(x, axes)
    y = np.zeros(terms.shape[1:], x.dtype)
    for term in terms[::-1]:
        y = y + term
    return np.asarray(y)


def sum_in_pairs(x: HostArray, *, axes: Any) -> HostArray:
    return np.asarray(_in_pairs(_total(x, axes)).astype(x.dtype)) if axes else x


def compensated(x: HostArray, *, axes: Any) -> HostArray:
    """Kahan's sum, where all is finite."""
    if not axes or x.dtype.kind != "f" or not np.isfinite(x).all():
        return REFERENCE["reduce_sum"](x, axes=axes)
    terms = _total(x, axes)
    y = lost = np.zeros(terms.shape[1:], x.dtype)
    for term in terms:
        part = term - lost
        total = y + part
        lost = (total - y) - part
        y = total
    # Where the sum overflows on the way the plain one decides.
    plain = REFERENCE["reduce_sum"](x, axes=axes)
    return np.where(np.isfinite(y), y, plain)


# Functions


def ulps_off(name: str, ulps: float) -> Any:
    """A function that errs by so many units in the last place, one way and the other.

    Not at 0 and the infinities: exp(0) = 1, sigmoid(0) = 0.5 and tanh(inf) = 1 are exact in every library,
    and the conventions rely on it.
    """

    def evaluate(x: HostArray) -> HostArray:
        exact = REFERENCE[name](x.astype("float64"))
        y = exact.astype(x.dtype)
        if x.dtype == np.float64:
            return y
        steps = np.where(np.arange(y.size).reshape(y.shape) % 2, ulps, -ulps)
        off = y + steps * np.spacing(abs(y))
        inside = np.isfinite(off) & (abs(y) >= np.finfo(y.dtype).smallest_normal)
        inside &= np.isfinite(x) & (x != 0)
        return np.where(inside, off, y).astype(x.dtype)

    return evaluate


class Alternating:
    """One evaluator and another in turn."""

    def __init__(self, *evaluators: Any) -> None:
        self._evaluators = evaluators
        self._calls = 0

    def __call__(self, *operands: HostArray, **attributes: Any) -> HostArray:
        self._calls += 1
        made = self._evaluators[self._calls % len(self._evaluators)](*operands, **attributes)
        return np.asarray(made)


def stable_logsumexp(x: Tensor, *, axes: Any) -> Tensor:
    """By the maximum, in the graph language, with its infinities guarded."""
    largest = G.reduce_max(x, axes=axes) if all(x.shape[a] for a in axes) else None
    if largest is None or not axes:
        return G.logsumexp(x, axes=axes)
    finite = G.where(G.equal(largest - largest, 0), largest, 0)
    shape = tuple(1 if a in axes else n for a, n in enumerate(x.shape))
    shifted = x - G.broadcast_to(finite.reshape(*shape), x.shape)
    return G.log(G.reduce_sum(G.exp(shifted), axes=axes)) + finite


def argmax_by_search(x: HostArray, *, axis: int) -> HostArray:
    """From the end to the beginning, keeping what is no less than the best so far."""
    rows = np.moveaxis(x, axis, 0)
    best = np.array(rows[-1])
    index = np.full(best.shape, len(rows) - 1)
    for i in reversed(range(len(rows) - 1)):
        better = (rows[i] >= best) | (rows[i] != rows[i]) | False
        better &= ~((best != best) & (rows[i] == rows[i]))
        best, index = np.where(better, rows[i], best), np.where(better, i, index)
    return np.asarray(index)


# Convolutions


def as_patches(x: HostArray, w: HostArray, *, stride: Any, dilation: Any, groups: int) -> HostArray:
    """Patches times weights, in one product a group."""
    y = REFERENCE["conv2d"](x, w, stride=stride, dilation=dilation, groups=groups)
    (n, c, *_), (o, i, kh, kw), (rows, columns) = x.shape, w.shape, y.shape[2:]
    patches = np.zeros((n, c, kh, kw, rows, columns), x.dtype)
    for u, v in np.ndindex(kh, kw):
        r, s = u * dilation[0], v * dilation[1]
        patches[:, :, u, v] = x[
            :,
            :,
            r : r + stride[0] * (rows - 1) + 1 : stride[0],
            s : s + stride[1] * (columns - 1) + 1 : stride[1],
        ]
    if not y.size or not w.size:
        return y
    grouped = patches.reshape(n, groups, i * kh * kw, rows * columns)
    filters = w.reshape(groups, o // groups, i * kh * kw)
    return np.asarray(np.matmul(filters, grouped)).reshape(y.shape)


def by_fourier(x: HostArray, w: HostArray, *, stride: Any, dilation: Any, groups: int) -> HostArray:
    """By Fourier transforms of image and kernel, in the precision of the dtype."""
    if not x.size or not w.size or not np.isfinite(x).all() or not np.isfinite(w).all():
        return REFERENCE["conv2d"](x, w, stride=stride, dilation=dilation, groups=groups)
    size = x.shape[2:]
    kernel = np.zeros(
        (*w.shape[:2], *(d * (k - 1) + 1 for d, k in zip(dilation, w.shape[2:], strict=True))), w.dtype
    )
    kernel[:, :, :: dilation[0], :: dilation[1]] = w
    complexes = "complex64" if x.dtype == np.float32 else "complex128"
    fx = np.fft.rfft2(x).astype(complexes)
    fw = np.conj(np.fft.rfft2(kernel, size)).astype(complexes)
    n, o, per = x.shape[0], w.shape[0], w.shape[0] // groups
    fy = np.zeros((n, o, *fx.shape[2:]), complexes)
    for group in range(groups):
        channels = slice(group * w.shape[1], (group + 1) * w.shape[1])
        maps = slice(group * per, (group + 1) * per)
        fy[:, maps] = np.einsum("ncij,ocij->noij", fx[:, channels], fw[maps])
    full = np.fft.irfft2(fy, size).astype(x.dtype)
    rows, columns = ((s - k) // t + 1 for s, k, t in zip(size, kernel.shape[2:], stride, strict=True))
    return full[:, :, : stride[0] * (rows - 1) + 1 : stride[0], : stride[1] * (columns - 1) + 1 : stride[1]]


# Minimal filtering of two outputs of three taps: Winograd's F(2, 3), Lavin and Gray 2016, equation 6.
_B = np.asarray([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
_G = np.asarray([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
_A = np.asarray([[1, 1, 1, 0], [0, 1, -1, -1]])


def by_winograd(x: HostArray, w: HostArray, *, stride: Any, dilation: Any, groups: int) -> HostArray:
    """Along the columns of kernels three wide, two outputs at a time; all others as they are."""
    y = REFERENCE["conv2d"](x, w, stride=stride, dilation=dilation, groups=groups)
    plain = stride == (1, 1) and dilation == (1, 1) and groups == 1 and w.shape[3] == 3
    if not plain or not y.size or not w.size or not np.isfinite(x).all() or not np.isfinite(w).all():
        return y
    b, g, a = (matrix.astype(x.dtype) for matrix in (_B, _G, _A))
    # In whatever order they lie, they are added in one.
    x, w = np.ascontiguousarray(x), np.ascontiguousarray(w)
    filters = np.einsum("ts,ocks->ockt", g, w)
    for j in range(0, y.shape[3] - 1, 2):
        y[..., j : j + 2] = 0
        for k in range(w.shape[2]):
            tile = x[:, :, k : k + y.shape[2], j : j + 4]
            m = np.einsum("ncit,oct->noit", np.einsum("ts,ncis->ncit", b, tile), filters[:, :, k])
            y[..., j : j + 2] += np.einsum("ts,nois->noit", a, m)
    return y
