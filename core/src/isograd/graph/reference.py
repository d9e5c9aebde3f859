"""The executable specification: every primitive written out slowly and clearly with NumPy loops and einsum.

It is what the conformance of a backend is measured against, and shares no code with any. Read a function here
when the words of a primitive's meaning leave a doubt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from isograd.errors import ArgumentError
from isograd.graph.dtypes import FLOATING
from isograd.graph.function import Function, check_array
from isograd.graph.tensor import Array, Tensor, topological

Evaluator = Callable[..., Array]


def evaluate(
    tensors: Sequence[Tensor],
    values: Mapping[str, Any] | None = None,
    *,
    precision: str | None = None,
) -> list[Array]:
    """The value of each tensor, given the values of the variables that they depend on.

    Parameters
    ----------
    tensors : sequence of Tensor
    values : mapping from variable name to array
        Of the variable's shape.
    precision : "float32" or "float64", optional
        Compute everything floating point in this dtype instead of the tensors' own.

    Returns
    -------
    list of ndarray
    """
    known: dict[int, Array] = {}
    with np.errstate(all="ignore"):
        for tensor in topological(tensors):
            operands = [known[id(x)] for x in tensor.inputs]
            dtype = precision if precision and tensor.dtype in FLOATING else tensor.dtype
            known[id(tensor)] = _evaluate(tensor, operands, dtype, values or {})
    return [known[id(t)] for t in tensors]


def call(
    function: Function,
    inputs: Mapping[str, Any],
    state: Mapping[str, Any] | None = None,
    *,
    precision: str | None = None,
) -> tuple[dict[str, Array], dict[str, Array]]:
    """A Function's outputs and its new state; state without an update is handed on."""
    results = evaluate(
        [*function.outputs.values(), *function.updates.values()],
        {**inputs, **(state or {})},
        precision=precision,
    )
    outputs = dict(zip(function.outputs, results, strict=False))
    updates = zip(function.updates, results[len(function.outputs) :], strict=True)
    return outputs, {**(state or {}), **dict(updates)}


def _evaluate(tensor: Tensor, operands: list[Array], dtype: str, values: Mapping[str, Any]) -> Array:
    if tensor.primitive == "constant":
        return np.asarray(tensor.attributes["value"], dtype=dtype)
    if tensor.primitive == "variable":
        if tensor.name not in values:
            raise ArgumentError(f"values lack {tensor.name!r}; the graph needs {tensor!r}")
        value = np.asarray(values[tensor.name])
        if value.dtype.kind != "f" or tensor.dtype not in FLOATING:
            check_array(tensor.name, value, tensor.shape, tensor.dtype)
        check_array(tensor.name, value, tensor.shape, value.dtype.name)
        return value.astype(dtype)
    attributes = dict(tensor.attributes)
    if tensor.primitive in ("cast", "iota"):
        attributes["dtype"] = dtype
    result = REFERENCE[tensor.primitive](*operands, **attributes)
    return np.asarray(result, dtype=dtype)


# Structure


def _slice(x: Array, *, start: Any, stop: Any, step: Any) -> Array:
    return x[tuple(slice(a, b, s) for a, b, s in zip(start, stop, step, strict=True))]


def _pad(x: Array, *, low: Any, high: Any, interior: Any, value: Any) -> Array:
    shape = [n + a + b + i * max(n - 1, 0) for n, a, b, i in zip(x.shape, low, high, interior, strict=True)]
    y = np.full(shape, value, dtype=x.dtype)
    y[tuple(slice(a, n - b, i + 1) for a, b, i, n in zip(low, high, interior, shape, strict=True))] = x
    return y


def _concat(*xs: Array, axis: int) -> Array:
    return np.concatenate(xs, axis=axis)


def _gather(x: Array, indices: Array) -> Array:
    return x[indices]


def _scatter_add(updates: Array, indices: Array, *, size: int) -> Array:
    y = np.zeros((size, *updates.shape[indices.ndim :]), dtype=updates.dtype)
    for position in np.ndindex(indices.shape):
        y[indices[position]] += updates[position]
    return y


def _cast(x: Array, *, dtype: str) -> Array:
    return x.astype(dtype)


def _iota(*, shape: Any, axis: int, dtype: str) -> Array:
    along = np.arange(shape[axis], dtype=dtype).reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return np.broadcast_to(along, shape)


# Elementwise


def _sigmoid(x: Array) -> Array:
    small = np.exp(-np.abs(x))  # never overflows
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small))


def _relu(x: Array) -> Array:
    return np.where(np.isnan(x), x, np.where(x > 0, x, 0))


def _softplus(x: Array) -> Array:
    return np.logaddexp(x, np.zeros_like(x))


def _pow(x: Array, *, exponent: float) -> Array:
    # For the scalar 0.5 NumPy takes the square root, which is NaN where IEEE 754's power of -inf is inf.
    base = np.atleast_1d(x)
    return np.asarray(np.power(base, np.full_like(base, exponent)).reshape(x.shape))


# Reductions


def _reduce_sum(x: Array, *, axes: Any) -> Array:
    # Without axes nothing is added; NumPy would add 0 and lose the sign of -0.
    return np.asarray(np.sum(x, axis=axes, dtype=x.dtype)) if axes else x


def _reduce_max(x: Array, *, axes: Any) -> Array:
    return np.asarray(np.max(x, axis=axes)) if axes else x


def _argmax(x: Array, *, axis: int) -> Array:
    return np.asarray(np.argmax(x, axis=axis))


def _logsumexp(x: Array, *, axes: Any) -> Array:
    if any(x.shape[a] == 0 for a in axes):
        return np.full([n for a, n in enumerate(x.shape) if a not in axes], -np.inf, dtype=x.dtype)
    largest = np.max(x, axis=axes, keepdims=True) if axes else x
    shift = np.where(np.isfinite(largest), largest, 0)
    total = np.sum(np.exp(x - shift), axis=axes, keepdims=True) if axes else np.exp(x - shift)
    return np.asarray(np.squeeze(shift + np.log(total), axis=axes))


# Contractions


def _matmul(a: Array, b: Array) -> Array:
    return np.asarray(np.einsum("...ik,...kj->...ij", a, b))


def _taps(
    w_shape: Sequence[int], output: Sequence[int], stride: Any, dilation: Any
) -> Iterator[tuple[int, int, slice, slice]]:
    """For each filter element (u, v) the rows and columns of the image that it meets, one an output pixel."""
    for u, v in product(range(w_shape[-2]), range(w_shape[-1])):
        rows, columns = (
            slice(k * d, k * d + s * (n - 1) + 1, s)
            for k, d, s, n in zip((u, v), dilation, stride, output[-2:], strict=True)
        )
        yield u, v, rows, columns


def _group(array: Array, group: int, groups: int, axis: int) -> tuple[slice, ...]:
    size = array.shape[axis] // groups
    return (slice(None),) * axis + (slice(group * size, (group + 1) * size),)


def _conv2d(x: Array, w: Array, *, stride: Any, dilation: Any, groups: int) -> Array:
    size = [
        (n - d * (k - 1) - 1) // s + 1
        for n, k, s, d in zip(x.shape[2:], w.shape[2:], stride, dilation, strict=True)
    ]
    y = np.zeros((x.shape[0], w.shape[0], *size), dtype=x.dtype)
    for group in range(groups):
        image, out = x[_group(x, group, groups, 1)], y[_group(y, group, groups, 1)]
        filters = w[_group(w, group, groups, 0)]
        for u, v, rows, columns in _taps(w.shape, y.shape, stride, dilation):
            out += np.einsum("ncij,oc->noij", image[:, :, rows, columns], filters[:, :, u, v])
    return y


def _conv2d_dx(g: Array, w: Array, *, input_size: Any, stride: Any, dilation: Any, groups: int) -> Array:
    dx = np.zeros((g.shape[0], w.shape[1] * groups, *input_size), dtype=g.dtype)
    for group in range(groups):
        out, image = g[_group(g, group, groups, 1)], dx[_group(dx, group, groups, 1)]
        filters = w[_group(w, group, groups, 0)]
        for u, v, rows, columns in _taps(w.shape, g.shape, stride, dilation):
            image[:, :, rows, columns] += np.einsum("noij,oc->ncij", out, filters[:, :, u, v])
    return dx


def _conv2d_dw(x: Array, g: Array, *, filter_size: Any, stride: Any, dilation: Any, groups: int) -> Array:
    dw = np.zeros((g.shape[1], x.shape[1] // groups, *filter_size), dtype=x.dtype)
    for group in range(groups):
        image, out = x[_group(x, group, groups, 1)], g[_group(g, group, groups, 1)]
        filters = dw[_group(dw, group, groups, 0)]
        for u, v, rows, columns in _taps(dw.shape, g.shape, stride, dilation):
            filters[:, :, u, v] = np.einsum("noij,ncij->oc", out, image[:, :, rows, columns])
    return dw


# Pooling


def _windows(input_size: Sequence[int], window: Any, stride: Any) -> Iterator[tuple[int, int, slice, slice]]:
    """For each output pixel (i, j) the rows and columns of its window."""
    counts = [(n - k) // s + 1 for n, k, s in zip(input_size, window, stride, strict=True)]
    for i, j in product(*map(range, counts)):
        yield (
            i,
            j,
            slice(i * stride[0], i * stride[0] + window[0]),
            slice(j * stride[1], j * stride[1] + window[1]),
        )


def _pooled_zeros(x: Array, window: Any, stride: Any, dtype: Any) -> Array:
    counts = [(n - k) // s + 1 for n, k, s in zip(x.shape[2:], window, stride, strict=True)]
    return np.zeros((*x.shape[:2], *counts), dtype=dtype)


def _sum_pool2d(x: Array, *, window: Any, stride: Any) -> Array:
    y = _pooled_zeros(x, window, stride, x.dtype)
    for i, j, rows, columns in _windows(x.shape[2:], window, stride):
        y[:, :, i, j] = x[:, :, rows, columns].sum(axis=(2, 3))
    return y


def _sum_pool2d_t(g: Array, *, window: Any, stride: Any, input_size: Any) -> Array:
    x = np.zeros((*g.shape[:2], *input_size), dtype=g.dtype)
    for i, j, rows, columns in _windows(input_size, window, stride):
        x[:, :, rows, columns] += g[:, :, i : i + 1, j : j + 1]
    return x


def _max_pool2d(x: Array, *, window: Any, stride: Any) -> Array:
    y = _pooled_zeros(x, window, stride, x.dtype)
    for i, j, rows, columns in _windows(x.shape[2:], window, stride):
        y[:, :, i, j] = x[:, :, rows, columns].max(axis=(2, 3))
    return y


def _max_pool2d_index(x: Array, *, window: Any, stride: Any) -> Array:
    y = _pooled_zeros(x, window, stride, np.int32)
    for i, j, rows, columns in _windows(x.shape[2:], window, stride):
        pixels = x[:, :, rows, columns].reshape(*x.shape[:2], window[0] * window[1])
        first = pixels.argmax(axis=2)  # the first NaN, if there is one
        y[:, :, i, j] = (rows.start + first // window[1]) * x.shape[3] + columns.start + first % window[1]
    return y


def _pool_gather2d(x: Array, index: Array) -> Array:
    y = np.zeros(index.shape, dtype=x.dtype)
    for n, c in np.ndindex(x.shape[:2]):
        y[n, c] = x[n, c].reshape(-1)[index[n, c]]
    return y


def _unpool2d(g: Array, index: Array, *, input_size: Any) -> Array:
    x = np.zeros((*g.shape[:2], *input_size), dtype=g.dtype)
    for position in np.ndindex(g.shape):
        row, column = divmod(int(index[position]), input_size[1])
        x[position[0], position[1], row, column] += g[position]
    return x


REFERENCE: dict[str, Evaluator] = {
    "reshape": lambda x, *, shape: x.reshape(shape),
    "transpose": lambda x, *, axes: x.transpose(axes),
    "broadcast_to": lambda x, *, shape: np.broadcast_to(x, shape),
    "slice": _slice,
    "pad": _pad,
    "concat": _concat,
    "gather": _gather,
    "scatter_add": _scatter_add,
    "cast": _cast,
    "iota": _iota,
    "stop_gradient": lambda x: x,
    "neg": np.negative,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "relu": _relu,
    "softplus": _softplus,
    "abs": np.abs,
    "sign": np.sign,
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "pow": _pow,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "greater": np.greater,
    "equal": np.equal,
    "where": np.where,
    "reduce_sum": _reduce_sum,
    "reduce_max": _reduce_max,
    "argmax": _argmax,
    "logsumexp": _logsumexp,
    "matmul": _matmul,
    "conv2d": _conv2d,
    "conv2d_dx": _conv2d_dx,
    "conv2d_dw": _conv2d_dw,
    "sum_pool2d": _sum_pool2d,
    "sum_pool2d_t": _sum_pool2d_t,
    "max_pool2d": _max_pool2d,
    "max_pool2d_index": _max_pool2d_index,
    "pool_gather2d": _pool_gather2d,
    "unpool2d": _unpool2d,
}
