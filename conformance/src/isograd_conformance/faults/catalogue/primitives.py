"""Faults in single primitives that map, choose or reduce elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from isograd import graph as G
from isograd.graph import Tensor
from isograd.graph.dtypes import FLOATING
from isograd.graph.reference import REFERENCE
from isograd_conformance.faults.fault import Fault, Witness
from isograd_conformance.faults.rewriting import Evaluator, Replace, evaluated, rewritten
from isograd_conformance.faults.witness import bit_pattern, ramp, value
from isograd_conformance.subject import HostArray

INF, NAN = np.inf, np.nan


def written(
    name: str, primitive: str, replace: Replace, witness: Witness, *dtypes: str, likely: tuple[str, ...] = ()
) -> Fault:
    """A fault of one primitive that the graph language can say."""
    apply = rewritten(**{primitive: replace})
    return Fault(
        name, "primitive", apply, witness, (*likely, f"-{primitive}-"), frozenset({"float32", *dtypes})
    )


def computed(
    name: str,
    primitive: str,
    evaluate: Evaluator,
    witness: Witness,
    *dtypes: str,
    likely: tuple[str, ...] = (),
) -> Fault:
    """A fault of one primitive that takes an evaluator on the host."""
    apply = evaluated(**{primitive: evaluate})
    return Fault(
        name, "primitive", apply, witness, (*likely, f"-{primitive}-"), frozenset({"float32", *dtypes})
    )


def built(primitive: str, **attributes: Any) -> Callable[..., Tensor]:
    """The primitive with these attributes, to be given operands."""
    return lambda *operands: G.PRIMITIVES[primitive].build(*operands, **attributes)


def _last_maximum(x: HostArray, *, axis: int) -> HostArray:
    return np.asarray(x.shape[axis] - 1 - np.flip(x, axis).argmax(axis))


def _maximum_of_numbers(x: HostArray, *, axis: int) -> HostArray:
    kind = x.dtype.kind == "f"
    return np.asarray((np.where(np.isnan(x), -np.inf, x) if kind else x).argmax(axis))


def _naive_logsumexp(x: HostArray, *, axes: Any) -> HostArray:
    return np.asarray(np.log(np.exp(x).sum(axis=axes)))


def _unguarded_logsumexp(x: HostArray, *, axes: Any) -> HostArray:
    """Shifted by the maximum, even where that is infinite."""
    if not axes or any(x.shape[a] == 0 for a in axes):
        return REFERENCE["logsumexp"](x, axes=axes)
    largest = x.max(axis=axes, keepdims=True)
    total = np.log(np.exp(x - largest).sum(axis=axes, keepdims=True))
    return np.asarray(np.squeeze(largest + total, axis=axes))


def _mean(x: Tensor, *, axes: Any) -> Tensor:
    total = G.reduce_sum(x, axes=axes)
    if x.dtype not in FLOATING or not total.size or not x.size:
        return total
    return total / (x.size / total.size)


def _one_axis_less(x: HostArray, *, axes: Any) -> HostArray:
    """Of several axes the last is not summed but its first element taken."""
    if len(axes) < 2 or x.shape[axes[-1]] == 0:
        return REFERENCE["reduce_sum"](x, axes=axes)
    return REFERENCE["reduce_sum"](np.take(x, [0], axes[-1]), axes=axes)


def _largest_magnitude(x: HostArray, *, axes: Any) -> HostArray:
    if x.dtype.kind != "f":
        return REFERENCE["reduce_max"](x, axes=axes)
    return np.asarray(REFERENCE["reduce_max"](np.maximum(x, 0), axes=axes))


def _narrow_sum(x: HostArray, *, axes: Any) -> HostArray:
    """Integers are added in eight bits less than they have."""
    if x.dtype.kind != "f":
        return np.asarray(np.sum(x, axis=axes, dtype="int8")) if axes else x
    return REFERENCE["reduce_sum"](x, axes=axes)


def _blocks_of_128(x: HostArray, *, axes: Any) -> HostArray:
    """Rows are added in whole blocks; of a long one the remainder is forgotten."""
    for axis in axes:
        if x.shape[axis] > 128:
            x = np.take(x, range(x.shape[axis] // 128 * 128), axis)
    return REFERENCE["reduce_sum"](x, axes=axes)


def _first_2_pow_10(x: HostArray) -> HostArray:
    """A kernel for at most 1024 elements: what is beyond is copied from the operand."""
    y = np.array(np.tanh(x))
    y.reshape(-1)[1024:] = x.reshape(-1)[1024:]
    return y


def _low_accuracy(x: HostArray) -> HostArray:
    """As a table of single precision may give it: some 60 units in the last place off."""
    return np.asarray(np.exp(x) * (1 + np.finfo(x.dtype).eps * 60))


def _branches_exchanged(c: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return G.where(c, b, a)


def _arithmetic_where(c: HostArray, a: HostArray, b: HostArray) -> HostArray:
    """A choice by products, which 0 * inf and 0 * NaN spoil."""
    return np.asarray(c * a + (1 - c) * b) if a.dtype.kind == "f" else np.where(c, a, b)


def _naive_softplus(x: HostArray) -> HostArray:
    return np.asarray(np.log(1 + np.exp(x)))


def _naive_sigmoid(x: Tensor) -> Tensor:
    """exp(x) / (1 + exp(x)), which is NaN for large x."""
    e = G.exp(x)
    return e / (e + 1.0)


def _true_power(x: HostArray, *, exponent: float) -> HostArray:
    """Through the logarithm: NaN for negative bases."""
    return np.asarray(np.exp(np.log(x) * exponent))


def _truncated_power(x: Tensor, *, exponent: float) -> Tensor:
    return G.pow_(x, exponent=float(int(exponent)))


PAIR = ([[1, 2, 3], [4, 5, 6]], [[9, 8, 7], [6, 5, 4]])

FAULTS: tuple[Fault, ...] = (
    # Elementwise
    written(
        "the sign of zero lost in neg",
        "neg",
        lambda x: G.sub(x * 0, x),
        bit_pattern(built("neg"), [0.0, 1.0]),
    ),
    computed("exp is 60 ulps off", "exp", _low_accuracy, value(built("exp"), [0.5, 1.5])),
    written(
        "an epsilon inside log",
        "log",
        lambda x: G.log(x + 1e-12),
        value(built("log"), [0.0, 1.0]),
        likely=("test_primitives",),
    ),
    written(
        "sqrt keeps away from 0",
        "sqrt",
        lambda x: G.sqrt(x + float(np.finfo(x.dtype).tiny)),
        value(built("sqrt"), [0.0, 4.0]),
    ),
    written(
        "tanh saturates", "tanh", lambda x: G.minimum(G.tanh(x), 0.9999), value(built("tanh"), [1.0, 9.0])
    ),
    written(
        "sigmoid in halves", "sigmoid", lambda x: G.sigmoid(x) * 0.5, value(built("sigmoid"), [0.0, 2.0])
    ),
    written("sigmoid overflows", "sigmoid", _naive_sigmoid, value(built("sigmoid"), [0.0, INF])),
    computed(
        "relu swallows NaN", "relu", lambda x: np.where(x > 0, x, 0), value(built("relu"), [NAN, 1.0, -1.0])
    ),
    written("a leak in relu", "relu", lambda x: G.maximum(x, x * 1e-3), value(built("relu"), [-1.0, 2.0])),
    computed("softplus overflows", "softplus", _naive_softplus, value(built("softplus"), [1.0, 200.0])),
    computed(
        "sign of 0 is 1",
        "sign",
        lambda x: np.where(np.isnan(x), x, np.where(x < 0, -1, 1)) if x.dtype.kind == "f" else np.sign(x),
        value(built("sign"), [-2.0, 0.0, 2.0]),
    ),
    written(
        "abs of small numbers is smooth",
        "abs",
        lambda x: G.sqrt(x * x + 1e-12) if x.dtype in FLOATING else G.abs_(x),
        value(built("abs"), [0.0, -2.0]),
    ),
    written(
        "a product scaled by 1 + 1e-4",
        "mul",
        lambda a, b: G.mul(a, b) * 1.0001 if a.dtype in FLOATING else G.mul(a, b),
        value(built("mul"), *PAIR),
    ),
    written("sub with its operands exchanged", "sub", lambda a, b: G.sub(b, a), value(built("sub"), *PAIR)),
    written(
        "div by a reciprocal that is kept away from 0",
        "div",
        lambda a, b: a * (1 / (b + 1e-7)),
        value(built("div"), [1.0, 1.0], [1.0, 1e-30]),
    ),
    written(
        "pow with a whole exponent", "pow", _truncated_power, value(built("pow", exponent=2.5), [2.0, 3.0])
    ),
    computed("pow through the logarithm", "pow", _true_power, value(built("pow", exponent=2), [-2.0, 3.0])),
    computed("maximum ignores NaN", "maximum", np.fmax, value(built("maximum"), [NAN, 1.0], [1.0, NAN])),
    written(
        "minimum of magnitudes",
        "minimum",
        lambda a, b: G.where(G.greater(G.abs_(a), G.abs_(b)), b, a),
        value(built("minimum"), [-3.0, 1.0], [2.0, 4.0]),
        likely=("-minimum-float",),
    ),
    computed(
        "greater or equal for greater",
        "greater",
        np.greater_equal,
        value(built("greater"), [1.0, 2.0], [1.0, 1.0]),
    ),
    computed(
        "equal up to a tolerance",
        "equal",
        lambda a, b: np.isclose(a, b, rtol=0, atol=1e-6) if a.dtype.kind == "f" else np.equal(a, b),
        value(built("equal"), [0.0, 2.0], [1e-30, 2.0]),
    ),
    computed(
        "NaN equals itself",
        "equal",
        lambda a, b: np.equal(a, b) | (np.not_equal(a, a) & np.not_equal(b, b)),
        value(built("equal"), [NAN, 1.0], [NAN, 2.0]),
    ),
    written(
        "where with its branches exchanged",
        "where",
        _branches_exchanged,
        value(built("where"), np.asarray([True, False]), [1.0, 2.0], [3.0, 4.0]),
        "bool",
    ),
    computed(
        "where by products",
        "where",
        _arithmetic_where,
        value(built("where"), np.asarray([True, False]), [1.0, INF], [NAN, 4.0]),
        "bool",
    ),
    # Reductions
    written("mean for sum", "reduce_sum", _mean, value(built("reduce_sum", axes=[1]), ramp(2, 3))),
    computed(
        "the last of several axes is not summed",
        "reduce_sum",
        _one_axis_less,
        value(built("reduce_sum", axes=[0, 1]), ramp(2, 3)),
    ),
    computed(
        "integers are summed in eight bits",
        "reduce_sum",
        _narrow_sum,
        value(built("reduce_sum", axes=[0]), np.asarray([100, 100], "int32")),
        "int32",
        likely=("test_sums_of_integers", "-reduce_sum-int32"),
    ),
    computed(
        "a long sum forgets what is beyond whole blocks",
        "reduce_sum",
        _blocks_of_128,
        value(built("reduce_sum", axes=[0]), ramp(131)),
        likely=("large",),
    ),
    computed(
        "a long row is not mapped to its end",
        "tanh",
        _first_2_pow_10,
        value(built("tanh"), ramp(1030)),
        likely=("large",),
    ),
    computed(
        "reduce_max begins from 0",
        "reduce_max",
        _largest_magnitude,
        value(built("reduce_max", axes=[0]), [-3.0, -1.0]),
    ),
    computed(
        "argmax takes the last of equals",
        "argmax",
        _last_maximum,
        value(built("argmax", axis=0), [1.0, 2.0, 2.0]),
        "int32",
    ),
    computed(
        "argmax overlooks NaN",
        "argmax",
        _maximum_of_numbers,
        value(built("argmax", axis=0), [1.0, NAN, 2.0]),
        "int32",
        likely=("test_argmax",),
    ),
    computed(
        "naive logsumexp",
        "logsumexp",
        _naive_logsumexp,
        value(built("logsumexp", axes=[0]), [1e4, 1.0]),
        likely=("test_values_and_symbolic",),
    ),
    computed(
        "logsumexp of nothing but -inf is NaN",
        "logsumexp",
        _unguarded_logsumexp,
        value(built("logsumexp", axes=[0]), [-INF, -INF]),
    ),
)
