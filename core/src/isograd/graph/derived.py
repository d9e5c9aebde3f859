"""Functions made of primitives: what layers and costs are written with. No backend knows any of them."""

from __future__ import annotations

from collections.abc import Sequence

from isograd.errors import ArgumentError, ArgumentTypeError, ShapeError
from isograd.graph import primitives as p
from isograd.graph.dtypes import FLOATING
from isograd.graph.operators import cast, equal, reduce, where
from isograd.graph.primitives import checks
from isograd.graph.tensor import Tensor


def linear(z: Tensor) -> Tensor:
    """z itself: the identity as an activation."""
    return z


def softmax(z: Tensor, *, axis: int = -1) -> Tensor:
    """exp(z) / sum(exp(z)) along an axis, as exp(z - logsumexp(z)): no overflow."""
    return p.exp(log_softmax(z, axis=axis))


def log_softmax(z: Tensor, *, axis: int = -1) -> Tensor:
    """z - logsumexp(z) along an axis."""
    return z - reduce("logsumexp", z, axis, keepdims=True)


def log_likelihood(z: Tensor, labels: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """The log-likelihood cost of each row: -log softmax(z)[label] (Nielsen, chapter 3, equation 80).

    Parameters
    ----------
    z : Tensor
        Weighted inputs of the softmax, floating point, (rows, classes).
    labels : Tensor
        int32, (rows,); each in [0, classes).
    label_smoothing : float
        a in [0, 1): the cost is (1 - a) times that of the label, plus a times the mean of those of all
        classes (Szegedy et al., "Rethinking the Inception architecture for computer vision", CVPR 2016,
        section 7).

    Returns
    -------
    Tensor
        (rows,). Computed as logsumexp(z) - sum(where(iota == label, z, 0)); with smoothing as
        logsumexp(z) - (1 - a) * sum(where(iota == label, z, 0)) - a / classes * sum(z).
    """
    if z.ndim != 2 or labels.shape != z.shape[:1]:
        raise ShapeError(
            f"log_likelihood: z {list(z.shape)} and labels {list(labels.shape)} do not fit; "
            "expected (rows, classes) and (rows,)"
        )
    if labels.dtype != "int32":
        raise ArgumentTypeError(f"log_likelihood: labels are {labels.dtype}; expected int32")
    check_probability("log_likelihood", "label_smoothing", label_smoothing)
    classes = p.iota(shape=z.shape, axis=1)
    chosen = p.reduce_sum(where(equal(classes, labels.reshape(-1, 1)), z, 0), axes=1)
    if not label_smoothing:
        return p.logsumexp(z, axes=1) - chosen
    smoothed = (1 - label_smoothing) * chosen + (label_smoothing / z.shape[1]) * p.reduce_sum(z, axes=1)
    return p.logsumexp(z, axes=1) - smoothed


def cross_entropy(z: Tensor, y: Tensor) -> Tensor:
    """The cross-entropy cost of sigmoid units a = sigmoid(z): each row's -sum(y log a + (1 - y) log(1 - a)).

    Nielsen, chapter 3, equation 63. Computed from the weighted inputs as sum(softplus(z) - y z), which is
    finite where a rounds to 0 or 1. z and y are (rows, ...); the result is (rows,).
    """
    _same_rows("cross_entropy", z, y)
    return p.reduce_sum(p.softplus(z) - y * z, axes=range(1, z.ndim))


def quadratic_cost(a: Tensor, y: Tensor) -> Tensor:
    """Half the squared distance, sum((a - y)^2) / 2, for each row (Nielsen, chapter 1, equation 6)."""
    _same_rows("quadratic_cost", a, y)
    difference = a - y
    return p.reduce_sum(difference * difference, axes=range(1, a.ndim)) * 0.5


def _same_rows(name: str, a: Tensor, y: Tensor) -> None:
    if a.shape != y.shape or a.ndim < 1:
        raise ShapeError(f"{name}: shapes {list(a.shape)} and {list(y.shape)} differ")
    if a.dtype != y.dtype:
        raise ArgumentTypeError(f"{name}: dtypes {a.dtype} and {y.dtype} differ; cast one of them")


def average_pool2d(
    x: Tensor, *, window: int | Sequence[int], stride: int | Sequence[int] | None = None
) -> Tensor:
    """The mean of each VALID window of an NCHW image."""
    rows, columns = checks.pair("average_pool2d", "window", window)
    return p.sum_pool2d(x, window=(rows, columns), stride=stride) * (1 / (rows * columns))


def l2_pool2d(x: Tensor, *, window: int | Sequence[int], stride: int | Sequence[int] | None = None) -> Tensor:
    """The square root of the sum of squares of each VALID window; gradient 0 where a window is all zero."""
    return safe_sqrt(p.sum_pool2d(x * x, window=window, stride=stride))


def safe_sqrt(x: Tensor) -> Tensor:
    """sqrt(x) for x >= 0 (and NaN), with gradient 0 at 0: the operand is guarded as well as the result."""
    zero = equal(x, 0)
    return where(zero, 0, p.sqrt(where(zero, 1, x)))


def dropout(x: Tensor, mask: Tensor, p_dropout: float, *, inverted: bool = False) -> Tensor:
    """x where the bool mask keeps it, 0 elsewhere (Nielsen, chapter 6: not rescaled).

    With `inverted`, kept values are divided by 1 - p_dropout: today's usual form, which leaves evaluation
    alone.
    """
    if mask.dtype != "bool":
        raise ArgumentTypeError(f"dropout: the mask is {mask.dtype}; expected bool")
    if mask.shape != x.shape:
        raise ShapeError(f"dropout: the mask has shape {list(mask.shape)}; expected {list(x.shape)}")
    check_probability("dropout", "p_dropout", p_dropout)
    kept = x * cast(mask, x.dtype)
    return kept * (1 / (1 - p_dropout)) if inverted else kept


def check_probability(name: str, argument: str, value: float) -> None:
    """Refuse what is no share, such as a probability of dropping out: a number in [0, 1)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ArgumentTypeError(f"{name}: {argument} is {value!r}; expected a number")
    if not 0 <= value < 1:
        raise ArgumentError(f"{name}: {argument} is {value!r}; expected a number in [0, 1)")


def local_response_normalisation(
    x: Tensor, *, k: float = 2.0, n: int = 5, alpha: float = 1e-4, beta: float = 0.75
) -> Tensor:
    """x / (k + alpha * sum of squares over n neighbouring channels)^beta.

    Krizhevsky et al. 2012, section 3.3. x is NCHW; the window of channel i is [i - n // 2, i + n // 2], cut
    at the first and the last channel.
    """
    checks.tensor("local_response_normalisation", "x", x, FLOATING, ndim=4)
    if n < 1 or n % 2 == 0:
        raise ArgumentError(f"local_response_normalisation: n is {n}; expected an odd number of channels")
    half, channels = n // 2, x.shape[1]
    around = (0, half, 0, 0)
    squares = p.pad(x * x, low=around, high=around, interior=(0, 0, 0, 0))
    total = squares[:, 0:channels]
    for offset in range(1, n):
        total = total + squares[:, offset : offset + channels]
    return x * p.pow_(total * alpha + k, exponent=-beta)


def accuracy_count(scores: Tensor, labels: Tensor) -> Tensor:
    """How many rows have their first maximum at the label: float32, shape ()."""
    hits = equal(p.argmax(scores, axis=1), labels)
    return p.reduce_sum(p.cast(hits, dtype="float32"))


def pad2d(x: Tensor, padding: Sequence[int], *, value: float = 0.0) -> Tensor:
    """An NCHW image with (top, bottom, left, right) pixels of `value` around it."""
    top, bottom, left, right = padding
    if not (top or bottom or left or right):
        return x
    return p.pad(x, low=(0, 0, top, left), high=(0, 0, bottom, right), interior=(0, 0, 0, 0), value=value)
