"""The walk over a graph that carries a value and an error bound for each tensor; the rules enter here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from isograd.backend import Backend
from isograd.graph import FLOATING, PRIMITIVES
from isograd.graph.reference import REFERENCE, evaluate
from isograd.graph.tensor import Tensor, topological

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]

# The unit roundoff u of each precision, half the distance from 1 to the next number; integers are exact.
UNIT = {
    "float64": 2.0**-53,
    "float32": 2.0**-24,
    "tf32": 2.0**-11,
    "float16": 2.0**-11,
    "bfloat16": 2.0**-8,
    "int32": 0.0,
    "uint8": 0.0,
    "bool": 0.0,
}

# The largest error of a function in units in the last place (1 ulp = 2 u), where a backend declares no other.
# 4 is what the libraries in use stay under (Gladman, Innocente, Mather and Zimmermann, "Accuracy of
# mathematical functions in single, double, double extended, and quadruple precision", 2024).
ULPS = 4.0
# IEEE 754 rounds the square root correctly, as a division; 1 leaves room for x * (1 / sqrt(x)).
SQRT_ULPS = 1.0


class Tracked(NamedTuple):
    """A tensor's value in float64 and, for each element, what a correct evaluation may differ by.

    Where a branch is decided by less than its bound either branch is right: the error of a truth value is
    then 1, of a sign 2, of an index infinite.
    """

    value: Array
    error: Array

    def ratios(self, found: Array) -> Array:
        """err/E of each element: infinite where either is not a number."""
        with np.errstate(all="ignore"):
            ratios = abs(found.astype(np.float64) - self.value.astype(np.float64)) / self.error
        return np.asarray(np.nan_to_num(ratios, nan=np.inf, posinf=np.inf))


@dataclass(frozen=True)
class Arithmetic:
    """What the bounds take of a backend: all of it is declared, none measured.

    Attributes
    ----------
    ulps : mapping of str to float
        By primitive, the largest error of a function in units in the last place.
    flushes_subnormals : bool
        Whether subnormal operands and results may become zero.
    normwise_convolution : bool
        Whether convolutions are held to a normwise bound.
    reorders : bool
        Whether sums may be reordered and products distributed over them.
    products : mapping of dtype to precision
        In which precision the operands of sums of products are read, where that is less than their dtype.
    statistical : bool
        Whether k roundings count as independent instead of as the worst case: not a bound, but what a sum
        hardly ever exceeds.
    """

    ulps: Mapping[str, float] = field(default_factory=dict)
    flushes_subnormals: bool = False
    normwise_convolution: bool = False
    reorders: bool = False
    products: Mapping[str, str] = field(default_factory=dict)
    statistical: bool = False

    @classmethod
    def of(cls, backend: Backend, device: str) -> Arithmetic:
        """What a backend declares for one of its devices, at this moment."""
        capabilities = backend.capabilities
        return cls(
            capabilities.ulps,
            capabilities.flushes_subnormals,
            capabilities.normwise_convolution,
            capabilities.fuses,
            {dtype: backend.precision(dtype, device) for dtype in FLOATING & capabilities.dtypes},
        )


IEEE = Arithmetic()


@dataclass(frozen=True)
class Application:
    """One primitive applied to tracked operands; what a rule is asked about.

    Attributes
    ----------
    node : Tensor
    operands : list of Tracked
    value : ndarray
        The result v in float64.
    unit : float
        The unit roundoff u of the node's dtype.
    arithmetic : Arithmetic
    magnitudes : list of ndarray
        Of each operand |v|, or where sums may be reordered the sum of the absolute values of its terms.
    """

    node: Tensor
    operands: list[Tracked]
    value: Array
    unit: float
    arithmetic: Arithmetic
    magnitudes: list[Array]

    def applied(self, *operands: Array) -> Array:
        """The primitive, applied to errors or magnitudes in place of values."""
        return np.asarray(REFERENCE[self.node.primitive](*operands, **self.node.attributes))

    def gamma(self, k: float) -> float:
        """What k roundings in any order may add up to, relative to the terms' magnitudes."""
        worst = gamma(k, self.unit)
        return min(worst, likely(k, self.unit)) if self.arithmetic.statistical else worst

    def ulps(self, default: float, primitive: str | None = None) -> float:
        """The largest error in units in the last place, declared or assumed."""
        return self.arithmetic.ulps.get(primitive or self.node.primitive, default)

    def may_overflow(self, magnitude: Array) -> Array:
        """Where terms whose magnitudes add up to this may overflow on the way to a finite sum."""
        if self.node.dtype not in FLOATING:
            return np.zeros(magnitude.shape, bool)
        return ~(magnitude <= float(np.finfo(self.node.dtype).max))

    def rounded(
        self, size: Array, factor: float, terms: float = 1, underflowed: Array | bool = False
    ) -> Array:
        """`factor` times the size of the result, and what each of the terms may lose by underflow.

        With gradual underflow a term loses at most one subnormal number (Higham, "Accuracy and Stability of
        Numerical Algorithms", equation 2.8); flushed to zero, all below the smallest normal one. What is 0
        exactly loses nothing; `underflowed` says where a 0 is not exact but too small for float64.
        """
        if self.node.dtype not in FLOATING:
            return np.zeros(size.shape)
        limits = np.finfo(self.node.dtype)
        flushes = self.arithmetic.flushes_subnormals
        tiny = float(limits.smallest_normal if flushes else limits.smallest_subnormal)
        return np.where((size > 0) | underflowed, factor * size + terms * tiny, 0.0)


Rule = Callable[[Application], Any]
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Enter a rule for the primitives named: from an `Application` to the error bound of its result."""

    def enter(bound: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, bound))
        return bound

    return enter


def gamma(k: float, u: float) -> float:
    """k roundings in any order: k u / (1 - k u) (Higham, lemma 3.1); infinite where k u reaches 1."""
    return k * u / (1 - k * u) if k * u < 1 else np.inf


def likely(k: float, u: float) -> float:
    """(3 sqrt(k) + 1) u: what k independent roundings of mean 0 stay under, but for one case in 300.

    After Higham and Mary, "A new approach to probabilistic rounding error analysis", SIAM Journal on
    Scientific Computing 41, 2019, theorem 2.4, with lambda = 3 standard deviations.
    """
    return (3 * math.sqrt(k) + 1) * u


def track(
    tensors: Sequence[Tensor],
    values: Arrays,
    arithmetic: Arithmetic = IEEE,
    errors: Arrays | None = None,
) -> list[Tracked]:
    """The value of each tensor in float64, and the bound that the working dtypes of its graph imply.

    Parameters
    ----------
    tensors : sequence of Tensor
    values : mapping of variable name to ndarray
        Of the variable's shape and dtype.
    arithmetic : Arithmetic, optional
        Of the backend to be judged; by default IEEE 754's.
    errors : mapping of variable name to ndarray, optional
        What the value of a variable may differ by; none by default.

    Returns
    -------
    list of Tracked
        Value and error float64 or the tensor's integer dtype, of the tensor's shape. The error is infinite
        where nothing can be said, as beyond the range of the dtype; an infinity or NaN is so exactly.
    """
    nodes = topological(tensors)
    computed = dict(zip(map(id, nodes), evaluate(nodes, values, precision="float64"), strict=True))
    known: dict[int, Tracked] = {}
    magnitudes: dict[int, Array] = {}
    with np.errstate(all="ignore"):
        for node in nodes:
            value = computed[id(node)]
            operands = [known[id(x)] for x in node.inputs]
            if operands:
                below = [magnitudes[id(x)] for x in node.inputs]
                application = Application(node, operands, value, UNIT[node.dtype], arithmetic, below)
                error = np.broadcast_to(RULES[node.primitive](application), value.shape)
            else:
                error = _read(node, value, arithmetic) + (errors or {}).get(node.name, 0)
            magnitudes[id(node)] = _magnitude(node, value, magnitudes, arithmetic)
            exact = _exact(node, operands)
            known[id(node)] = Tracked(value, _settled(value, error, node.dtype, exact))
    return [known[id(t)] for t in tensors]


def _read(node: Tensor, value: Array, arithmetic: Arithmetic) -> Array:
    """Of what is given: exact, but for subnormals where they may count as 0."""
    error = np.zeros(value.shape)
    if node.dtype in FLOATING and arithmetic.flushes_subnormals:
        small = abs(value) < float(np.finfo(node.dtype).smallest_normal)
        error = np.where(small, abs(value), error)
    return error


# In these a sum stays a sum of the same terms.
_MOVING = frozenset({"reshape", "transpose", "broadcast_to", "slice", "stop_gradient"})


def _magnitude(node: Tensor, value: Array, known: Mapping[int, Array], arithmetic: Arithmetic) -> Array:
    """The sum of the absolute values of the terms of a linear combination, or |v|."""
    operands = [known[id(x)] for x in node.inputs]
    if arithmetic.reorders and node.dtype in FLOATING:
        if node.primitive in ("add", "sub"):
            return np.asarray(operands[0] + operands[1])
        if node.primitive == "mul":
            return np.asarray(operands[0] * operands[1])
        if node.primitive == "neg":
            return operands[0]
        if node.primitive in _MOVING:
            return np.asarray(REFERENCE[node.primitive](*operands, **node.attributes))
    return np.abs(value) if node.dtype in FLOATING else value


# The rules of these say themselves which infinities are certain: those of finite terms depend on the order.
_SUMS = frozenset(
    {"reduce_sum", "scatter_add", "sum_pool2d", "sum_pool2d_t", "unpool2d", "matmul"}
    | {"conv2d", "conv2d_dx", "conv2d_dw"}
)
_ELEMENTWISE = frozenset({"unary", "binary", "select"})


def _exact(node: Tensor, operands: list[Tracked]) -> Array | bool:
    """Where an infinity or NaN of the result is certain, because what it is made of is so."""
    if node.primitive in _SUMS:
        return False
    if not operands or PRIMITIVES[node.primitive].group not in _ELEMENTWISE:
        return not any(x.error.any() for x in operands)
    exact = np.logical_and.reduce([x.error == 0 for x in operands])
    if node.primitive in ("add", "sub"):  # whatever is added to an infinity or NaN
        exact |= np.logical_or.reduce([(x.error == 0) & ~np.isfinite(x.value) for x in operands])
    return np.asarray(exact)


def _settled(value: Array, error: Array, dtype: str, exact: Array | bool) -> Array:
    """What may overflow in the dtype is not bounded; an infinity or NaN of exact operands is exact."""
    error = np.where(np.isnan(error), np.inf, error)
    if dtype not in FLOATING:
        return error
    finite = np.isfinite(value)
    overflows = finite & (abs(value) + error > float(np.finfo(dtype).max))
    error = np.where(overflows, np.inf, error)
    return np.where(finite | (np.isinf(error) & np.logical_not(exact)), error, 0.0)
