"""The layers by formula: forward and backward, in the widest floating-point type that NumPy has.

Of the layer specs of core only the fields are read, never a method. Gradients are written by hand, from the
equations of the book (Nielsen, "Neural Networks and Deep Learning", chapters 2 and 6).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from isograd import (
    Activation,
    AveragePool,
    BatchNorm,
    Convolution,
    ConvPool,
    Dropout,
    Flatten,
    FullyConnected,
    L2Pool,
    Layer,
    MaxPool,
    Softmax,
)

Wide = np.longdouble
Array = npt.NDArray[Any]


class Backward(NamedTuple):
    """What a layer hands back: the gradient of its input and those of its parameters, by their names."""

    x: Array
    parameters: dict[str, Array]


class Passed(NamedTuple):
    """A layer's output, the way back from the gradient of the cost with respect to it, and its new state."""

    output: Array
    back: Callable[[Array], Backward]
    new_state: Mapping[str, Array] = MappingProxyType({})


@dataclass(frozen=True)
class Formulas:
    """The layers of a network as formulas, of constants rounded to the network's dtype.

    Attributes
    ----------
    dtype : str
    training : bool
        Whether dropout drops, or scales as in evaluation.
    """

    dtype: str
    training: bool

    def apply(self, layer: Layer, x: Array, parameters: Mapping[str, Array], mask: Array | None) -> Passed:
        """One layer on x (rows, ...), with its parameters and its state by name.

        The mask is that of its dropout, (rows, ...), where it has one.
        """
        match layer:
            case FullyConnected():
                return _then(self._dense(layer, x, parameters, mask), layer.activation)
            case Softmax():
                return self._dense(layer, x, parameters, mask)
            case ConvPool():
                convolved = convolution(x, parameters["weight"], (0, 0, 0, 0), (1, 1), (1, 1), 1)
                pooled = self._pool(layer.pooling, convolved.output, layer.poolsize, layer.poolsize)
                return _then(_plus_bias(_after(convolved, pooled), parameters), layer.activation)
            case Convolution():
                z = convolution(
                    x, parameters["weight"], layer.padding, layer.stride, layer.dilation, layer.groups
                )
                return _then(_plus_bias(z, parameters), layer.activation)
            case MaxPool() | AveragePool() | L2Pool():
                kind = {MaxPool: "max", AveragePool: "average", L2Pool: "l2"}[type(layer)]
                return self._pool(kind, x, layer.window, layer.stride or layer.window)
            case Activation():
                return _then(Passed(x, lambda g: Backward(g, {})), layer.function)
            case Dropout():
                return self._dropped(layer, x, mask)
            case BatchNorm():
                return self._normalised(layer, x, parameters)
            case Flatten():
                return Passed(x.reshape(len(x), -1), lambda g: Backward(g.reshape(x.shape), {}))
        raise NotImplementedError(f"the contract has no formula for {layer!r}")

    def constant(self, value: float) -> Any:
        """A constant of the network, rounded once to its dtype."""
        return Wide(np.dtype(self.dtype).type(value))

    def _dense(
        self,
        layer: FullyConnected | Softmax,
        x: Array,
        parameters: Mapping[str, Array],
        mask: Array | None,
    ) -> Passed:
        """z = (x * mask) w + b in training; z = (1 - p) x w + b in evaluation."""
        flat, w = x.reshape(len(x), -1), parameters["weight"]
        factor, scale = self._factors(layer, mask)
        kept = flat * factor

        def back(g: Array) -> Backward:
            gradients = {"weight": kept.T @ g * scale}
            return Backward((g @ w.T * scale * factor).reshape(x.shape), gradients)

        return _plus_bias(Passed(kept @ w * scale, back), parameters)

    def _factors(self, layer: FullyConnected | Softmax | Dropout, mask: Array | None) -> tuple[Any, Any]:
        """What an input is multiplied by before a layer with dropout, and what comes out of it after."""
        if not layer.p_dropout:
            return Wide(1), Wide(1)
        if not self.training:
            return Wide(1), Wide(1) if layer.inverted else self.constant(1 - layer.p_dropout)
        assert mask is not None
        return mask * (self.constant(1 / (1 - layer.p_dropout)) if layer.inverted else Wide(1)), Wide(1)

    def _dropped(self, layer: Dropout, x: Array, mask: Array | None) -> Passed:
        factor = math.prod(self._factors(layer, mask))
        return Passed(x * factor, lambda g: Backward(g * factor, {}))

    def _normalised(self, layer: BatchNorm, x: Array, arrays: Mapping[str, Array]) -> Passed:
        """Ioffe and Szegedy's algorithms 1 and 2 and their gradients (section 3), for each channel."""
        channels = np.moveaxis(x, 1, 0).reshape(x.shape[1], -1)
        weight, epsilon = arrays["weight"][:, None], self.constant(layer.epsilon)
        mean, variance = channels.mean(axis=1, keepdims=True), channels.var(axis=1, keepdims=True)
        n = channels.shape[1]
        moved: dict[str, Array] = {}
        if self.training:
            batch = {"running_mean": mean[:, 0]}
            if n > 1:  # one value has no unbiased variance
                batch["running_variance"] = variance[:, 0] * n / (n - 1)
            kept, share = self.constant(1 - layer.momentum), self.constant(layer.momentum)
            moved = {name: kept * arrays[name] + share * value for name, value in batch.items()}
        else:
            mean, variance = arrays["running_mean"][:, None], arrays["running_variance"][:, None]
        deviation = np.sqrt(variance + epsilon)
        normal = (channels - mean) / deviation

        def images(flat: Array) -> Array:
            return np.moveaxis(flat.reshape(x.shape[1], len(x), *x.shape[2:]), 0, 1)

        def back(g: Array) -> Backward:
            flat = np.moveaxis(g, 1, 0).reshape(x.shape[1], -1)
            towards = flat * weight
            through = towards.mean(axis=1, keepdims=True)
            along = normal * (towards * normal).mean(axis=1, keepdims=True)
            gradients = {"weight": (flat * normal).sum(axis=1), "bias": flat.sum(axis=1)}
            return Backward(images((towards - through - along) / deviation), gradients)

        return Passed(images(normal * weight + arrays["bias"][:, None]), back, moved)

    def _pool(self, kind: str, x: Array, window: Any, stride: Any) -> Passed:
        seen = _windows(x, window, stride)
        if kind == "max":
            first = seen.argmax(axis=-1)[..., None]  # of equal ones the first in row-major order
            y = np.take_along_axis(seen, first, axis=-1)[..., 0]
            chosen = (np.arange(seen.shape[-1]) == first).astype(Wide)
            return Passed(y, lambda g: Backward(_spread(g[..., None] * chosen, x, window, stride), {}))
        if kind == "average":
            share = self.constant(1 / (window[0] * window[1]))
            each = np.full(seen.shape, share)
            return Passed(
                seen.sum(axis=-1) * share,
                lambda g: Backward(_spread(g[..., None] * each, x, window, stride), {}),
            )
        y = np.sqrt((seen * seen).sum(axis=-1))
        safe = np.where(y == 0, 1, y)  # where a window is all zero, so is the gradient
        return Passed(y, lambda g: Backward(_spread((g / safe)[..., None] * seen, x, window, stride), {}))


def convolution(x: Array, w: Array, padding: Any, stride: Any, dilation: Any, groups: int) -> Passed:
    """y[n, o, i, j] = sum over c, u, v of w[o, c, u, v] x[n, c, i s + u d, j s + v d]: equation 125."""
    if padding == "same":
        padding = _same(x.shape[2:], w.shape[2:], stride, dilation)
    top, bottom, left, right = padding
    padded = np.pad(x, [(0, 0), (0, 0), (top, bottom), (left, right)])
    height, width = ((k - 1) * d + 1 for k, d in zip(w.shape[2:], dilation, strict=True))
    views = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))
    patches = views[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]
    parts = np.split(patches, groups, axis=1), np.split(w, groups, axis=0)
    y = np.concatenate([np.einsum("ncijuv,ocuv->noij", a, b) for a, b in zip(*parts, strict=True)], axis=1)

    def back(g: Array) -> Backward:
        dx = np.zeros_like(padded)
        shares = np.split(g, groups, axis=1)
        dw = [np.einsum("ncijuv,noij->ocuv", a, b) for a, b in zip(parts[0], shares, strict=True)]
        dp = [np.einsum("noij,ocuv->ncijuv", a, b) for a, b in zip(shares, parts[1], strict=True)]
        joined = np.concatenate(dp, axis=1)
        for i, j, u, v in np.ndindex(patches.shape[2:]):
            dx[:, :, i * stride[0] + u * dilation[0], j * stride[1] + v * dilation[1]] += joined[
                :, :, i, j, u, v
            ]
        inner = dx[:, :, top : dx.shape[2] - bottom, left : dx.shape[3] - right]
        return Backward(inner, {"weight": np.concatenate(dw)})

    return Passed(y, back)


def _same(size: Any, window: Any, stride: Any, dilation: Any) -> tuple[int, ...]:
    """(top, bottom, left, right) for ceil(size / stride) outputs, the odd one below and to the right."""
    sides: list[int] = []
    for n, k, s, d in zip(size, window, stride, dilation, strict=True):
        missing = max((math.ceil(n / s) - 1) * s + d * (k - 1) + 1 - n, 0)
        sides += [missing // 2, missing - missing // 2]
    return tuple(sides)


def _windows(x: Array, window: Any, stride: Any) -> Array:
    """(rows, channels, i, j, pixels of the window in row-major order)."""
    views = np.lib.stride_tricks.sliding_window_view(x, tuple(window), axis=(2, 3))
    views = views[:, :, :: stride[0], :: stride[1]]
    return views.reshape(*views.shape[:4], -1)


def _spread(parts: Array, x: Array, window: Any, stride: Any) -> Array:
    """What the windows have for each of their pixels, added up there: the way back from `_windows`."""
    dx = np.zeros_like(x)
    for i, j, pixel in np.ndindex(parts.shape[2:]):
        u, v = divmod(pixel, window[1])
        dx[:, :, i * stride[0] + u, j * stride[1] + v] += parts[:, :, i, j, pixel]
    return dx


def _plus_bias(before: Passed, parameters: Mapping[str, Array]) -> Passed:
    if "bias" not in parameters:
        return before
    others = tuple(axis for axis in range(before.output.ndim) if axis != 1)
    bias = parameters["bias"].reshape(-1, *(1,) * (before.output.ndim - 2))

    def back(g: Array) -> Backward:
        x, gradients = before.back(g)
        return Backward(x, {**gradients, "bias": g.sum(axis=others)})

    return Passed(before.output + bias, back)


def _after(first: Passed, second: Passed) -> Passed:
    return Passed(second.output, lambda g: first.back(second.back(g).x))


def _then(before: Passed, activation: Any) -> Passed:
    z = before.output
    a, slope = _activated(activation, z)
    return Passed(a, lambda g: before.back(g * slope))


def _activated(name: Any, z: Array) -> tuple[Array, Array]:
    """An activation and its derivative."""
    sigmoid = np.where(z >= 0, 1 / (1 + np.exp(-abs(z))), np.exp(-abs(z)) / (1 + np.exp(-abs(z))))
    if name == "linear":
        return z, np.ones_like(z)
    if name == "relu":
        return np.where(z > 0, z, 0), (z > 0).astype(Wide)
    if name == "sigmoid":
        return sigmoid, sigmoid * (1 - sigmoid)
    if name == "tanh":
        return np.tanh(z), 1 - np.tanh(z) ** 2
    if name == "softplus":
        return np.maximum(z, 0) + np.log1p(np.exp(-abs(z))), sigmoid
    raise NotImplementedError(f"the contract has no formula for the activation {name!r}")
