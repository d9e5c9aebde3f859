"""Bounds of sums, and of sums of products.

A sum of k terms, whatever the order or tree of its k - 1 additions, is wrong by at most
gamma_{k-1} * sum |terms| (Higham, "Accuracy and Stability of Numerical Algorithms", section 4.2); an inner
product of k terms by gamma_k * sum |a| |b| (section 3.1). Fused multiply-adds only leave roundings out. Where
the sum of the magnitudes is beyond the range of the dtype, a partial sum may be so too, and nothing is known.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from isograd.graph import FLOATING
from isograd.graph.tensor import Tensor
from isograd_conformance.bounds.tracking import ULPS, UNIT, Application, Array, rule

_COUNTS: dict[str, Callable[[Tensor], int]] = {
    "reduce_sum": lambda n: prod(n.inputs[0].shape[axis] for axis in n.attributes["axes"]),
    "scatter_add": lambda n: n.inputs[1].size,
    "sum_pool2d": lambda n: prod(n.attributes["window"]),
    "sum_pool2d_t": lambda n: prod(n.attributes["window"]),
    "unpool2d": lambda n: prod(n.inputs[1].shape[2:]),
    "matmul": lambda n: n.inputs[0].shape[-1],
    "conv2d": lambda n: prod(n.inputs[1].shape[1:]),
    "conv2d_dx": lambda n: n.inputs[1].shape[0] // n.attributes["groups"] * prod(n.inputs[1].shape[2:]),
    "conv2d_dw": lambda n: n.inputs[1].shape[0] * prod(n.inputs[1].shape[2:]),
}


# The primitives whose elements are sums of terms, which may be added in any order.
SUMS = _COUNTS.keys()


def terms(node: Tensor) -> int:
    """How many terms an element of the result is a sum of, at most."""
    return _COUNTS[node.primitive](node)


def _added(a: Application, error: Array, magnitude: Array) -> Array:
    """`error` inherited, and the additions of terms whose magnitudes add up to `magnitude`."""
    additions = max(terms(a.node) - 1, 0)
    found = error + a.gamma(additions) * magnitude
    if a.arithmetic.flushes_subnormals:  # without that, additions are exact in underflow
        found = found + a.rounded(magnitude, 0.0, additions)
    return _infinite_or(a, magnitude, found)


def _infinite_or(a: Application, magnitude: Array, found: Array) -> Array:
    """`found`, but infinite where a sum may overflow, and 0 where a certain infinity or NaN is a term."""
    found = np.where(a.may_overflow(magnitude), np.inf, found)
    terms_of = [x for x, tensor in zip(a.operands, a.node.inputs, strict=True) if tensor.dtype in FLOATING]
    if all(np.isfinite(x.value).all() for x in terms_of):
        return found
    certain = np.zeros(a.value.shape, bool)
    for which, x in enumerate(terms_of):
        given = [np.ones(y.value.shape) for y in terms_of]
        given[which] = (~np.isfinite(x.value) & (x.error == 0)).astype(float)
        indices = [y.value for y in a.operands[len(terms_of) :]]
        certain |= a.applied(*given, *indices) > 0
    return np.where(certain, 0, found)


@rule("reduce_sum", "sum_pool2d", "sum_pool2d_t")
def _total(a: Application) -> Array:
    (x, error) = a.operands[0]
    return _added(a, a.applied(error), a.applied(abs(x) + error))


@rule("scatter_add")
def _scattered(a: Application) -> Array:
    (x, error), (index, _) = a.operands
    return _added(a, a.applied(error, index), a.applied(abs(x) + error, index))


@rule("unpool2d")
def _unpooled(a: Application) -> Array:
    """A value whose index is in doubt may go to any pixel of its plane, or be missing where it went."""
    (g, error), (index, doubt) = a.operands
    found = _added(a, a.applied(error, index), a.applied(abs(g) + error, index))
    if doubt.any():
        strays = np.where(doubt > 0, abs(g) + error, 0).sum(axis=(2, 3), keepdims=True)
        found = found + strays
    return found


@rule("matmul")
def _matmul(a: Application) -> Array:
    return _products(a)[0]


@rule("conv2d", "conv2d_dx", "conv2d_dw")
def _convolution(a: Application) -> Array:
    found, _ = _products(a)
    if not a.arithmetic.normwise_convolution or not found.size:
        return found
    # Transforms mix all elements of an image, also those that a stride leaves out of every sum.
    (x, ex), (y, ey) = a.operands
    image = _norm(abs(x) + ex, 1 if a.node.primitive == "conv2d_dw" else len(x))
    found += WINOGRAD_GROWTH * a.gamma(terms(a.node)) * image * _norm(abs(y) + ey, 1)
    return found


def _norm(magnitudes: Array, parts: int) -> Array:
    """The Euclidean norms of so many parts of a first axis, of what is finite in them: (parts, 1, 1, 1)."""
    rows = np.where(np.isfinite(magnitudes), magnitudes, 0).reshape(parts, -1)
    # Scaled, so that no square overflows.
    largest = np.max(rows, axis=1, initial=0, keepdims=True)
    scaled = np.divide(rows, largest, out=np.zeros_like(rows), where=largest > 0)
    norms: Array = largest * np.linalg.norm(scaled, axis=1, keepdims=True)
    return norms.reshape(parts, 1, 1, 1)


def _products(a: Application) -> tuple[Array, Array]:
    """The bound of a sum of products, and the sum of the products' magnitudes.

    Operands read in a precision of unit roundoff u' contribute (2 u' + u'^2) |A| |B| besides.
    """
    (x, ex), (y, ey) = a.operands
    whole = a.applied(abs(x) + ex, abs(y) + ey)
    inherited = a.applied(abs(x), ey) + a.applied(ex, abs(y) + ey)
    precision = a.arithmetic.products.get(a.node.dtype, a.node.dtype)
    read = UNIT[precision] if precision != a.node.dtype else 0.0
    k = terms(a.node)
    underflowed: Array | bool = False
    if (whole == 0).any():
        underflowed = a.applied((x != 0).astype(float), (y != 0).astype(float)) > 0
    found = inherited + a.rounded(whole, a.gamma(k) + read * (2 + read), k, underflowed)
    return _infinite_or(a, whole, found), whole


def _winograd_growth() -> float:
    """By how much F(4x4, 3x3), the largest Winograd convolution in use, may magnify rounding errors.

    The product of the norms of its three transforms, squared for two dimensions (Barabasz, Anderson,
    Soodhalter and Gregg, "Error analysis and improving the accuracy of Winograd convolution for deep neural
    networks", ACM TOMS 46, 2020, theorem 1); the matrices are Lavin and Gray's ("Fast algorithms for
    convolutional neural networks", CVPR 2016). A convolution by Fourier transforms grows only by log n
    (Higham, theorem 24.2).
    """
    outputs = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
    filters = [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]
    image = [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
    norms = [np.linalg.norm(np.array(m, float), 2) for m in (outputs, filters, image)]
    return float(prod(norms) / 24) ** 2  # the filters' matrix above is 24 times the true one


WINOGRAD_GROWTH = _winograd_growth()


@rule("logsumexp")
def _logsumexp(a: Application) -> Array:
    """log(sum exp(x - m)) + m, with the shift m by the maximum counted as exact: the algorithm is specified.

    Each exponential inherits the rounding of its x - m; the logarithm's argument is at least 1, so a relative
    error of the sum is an absolute one of the result (Blanchard, D. J. Higham and N. J. Higham, "Accurately
    computing the log-sum-exp and softmax functions", IMA Journal of Numerical Analysis 41, 2021).
    """
    (x, error), axes, u = a.operands[0], a.node.attributes["axes"], a.unit
    if not x.size:
        return np.zeros(a.value.shape)
    largest = x.max(axis=axes, keepdims=True)
    shift = np.where(np.isfinite(largest), largest, 0)
    exponentials = np.exp(x - shift)
    total = exponentials.sum(axis=axes)
    moved = np.where(exponentials > 0, exponentials * abs(x - shift), 0).sum(axis=axes) / total
    k = prod(x.shape[axis] for axis in axes)
    exp_error, log_error = (2 * a.ulps(ULPS, name) * u for name in ("exp", "log"))
    declared = 2 * a.ulps(0.0) * u * abs(a.value)
    inner = error.max(axis=axes) + u * moved + exp_error + a.gamma(k)
    lost = a.rounded(np.ones(a.value.shape), 0.0, k)
    bound: Array = inner + log_error * abs(np.log(total)) + u * (abs(a.value) + inner) + declared + lost
    return bound
