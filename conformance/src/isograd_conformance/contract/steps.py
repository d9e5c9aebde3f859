"""A step of training, and an evaluation, by the words of the contract."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from isograd import BatchNorm, Dataset, Dropout, FullyConnected, Layer, Network, Softmax
from isograd_conformance.contract import draws
from isograd_conformance.contract.layers import Array, Formulas, Passed, Wide

Arrays = Mapping[str, Array]
Course = Literal["constant", "halves", "triangle", "cosine"]
COURSES: tuple[Course, ...] = get_args(Course)
# Of a triangle: the share of the way at which it has its peak.
PEAK = 0.25


@dataclass(frozen=True)
class Settings:
    """The arguments of `Network.SGD` that decide what a step does.

    The learning rate is `eta`; or it is half as much in each epoch as in the one before; or over `epochs`
    epochs it goes from 0 up to `eta` and down again, or down to 0 as half a cosine does.
    """

    mini_batch_size: int
    eta: float
    lmbda: float = 0.0
    momentum: float = 0.0
    nesterov: bool = False
    shuffle: bool = True
    drop_last: bool = False
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    averaging: float = 0.0
    course: Course = "constant"
    epochs: int = 2

    def eta_error(self, eta: float, dtype: str) -> Any:
        """What the rate of a step may differ by where the same formula is evaluated in another order.

        Each has at most eight roundings in double precision, of numbers of at most 1, which the slopes of
        a triangle and of a cosine (4/3 to 4, pi/2) make at most four times as large, relative to the peak;
        then one rounding to the dtype, which may go to the other side.
        """
        if self.course in ("constant", "halves"):
            return 0.0
        error = 32 * 2.0**-53 * self.eta
        here, *sides = (Wide(np.asarray(eta + e, dtype)) for e in (0.0, -error, error))
        return max(abs(side - here) for side in sides)

    def eta_in(self, epoch: int, number: int, steps: int) -> float:
        """The learning rate of a step of an epoch of so many steps, all counted from 0."""
        middle = (epoch + (number + 0.5) / steps) / self.epochs
        if self.course == "triangle":
            return self.eta * min(middle / PEAK, (1 - middle) / (1 - PEAK))
        if self.course == "cosine":
            return self.eta * math.cos(math.pi * middle / 2) ** 2
        return self.eta / 2**epoch if self.course == "halves" else self.eta

    def steps(self, examples: int) -> int:
        """m: the mini-batches of an epoch, the last smaller one among them unless it is dropped."""
        batches = examples / self.mini_batch_size
        return math.floor(batches) if self.drop_last else math.ceil(batches)


class Stepped(NamedTuple):
    """What one step makes: its cost before it; parameters, state, velocities and averages after it."""

    cost: Any
    parameters: dict[str, Array]
    state: dict[str, Array]
    velocities: dict[str, Array]
    averages: dict[str, Array]


class Evaluated(NamedTuple):
    """One row an example: the cost, the probabilities of the classes, and the class."""

    costs: Array
    probabilities: Array
    classes: Array


def batch(settings: Settings, seed: int, examples: int, epoch: int, step: int) -> list[int]:
    """The examples of a step."""
    order = draws.order(seed, epoch, examples) if settings.shuffle else list(range(examples))
    first = step * settings.mini_batch_size
    return order[first : first + settings.mini_batch_size]


def step(
    net: Network,
    data: Dataset,
    settings: Settings,
    before: Arrays,
    velocities: Arrays,
    averages: Arrays,
    epoch: int,
    number: int,
) -> Stepped:
    """One step from the parameters and the layers' state `before`, the velocities and the averages, by path.

    The cost is the sum over the rows of -log softmax(z)[label] by the mini-batch size, plus half of lmbda / m
    times the sum of the squared weights. With label smoothing a, -log softmax(z) counts 1 - a at the label
    and a more spread evenly over all classes; the numbers 1 - a and a / classes are constants of the dtype.
    The gradient of a weight has weight_decay w besides. Then v' = mu v - eta g, and w' = w + v' or, by
    Nesterov's rule, w + mu v' - eta g. The average a of each parameter and each array of layer state moves by
    a constant of the dtype, 1 - averaging, times the distance to the array's new value.
    """
    formulas = Formulas(net.dtype, training=True)
    rows = batch(settings, net.seed, len(data), epoch, number)
    wide = _wide(before)
    passed = _forward(net, formulas, _read(net, data, rows), wide, (epoch, number))
    z, labels = passed[-1].output, data.labels[rows]
    share = settings.label_smoothing
    chosen = (np.arange(z.shape[1]) == labels[:, None]) * formulas.constant(1 - share)
    chosen = chosen + formulas.constant(share / z.shape[1])
    cost = (_log_sum(z)[:, 0] - (chosen * z).sum(axis=1)).sum() / settings.mini_batch_size
    gradients: dict[str, Array] = {}
    g = (_softmax(z) - chosen) / settings.mini_batch_size
    for name, layer in reversed(list(zip(_names(net.layers), passed, strict=True))):
        g, found = layer.back(g)
        gradients |= {f"{name}.{key}": gradient for key, gradient in found.items()}
    steps = settings.steps(len(data))
    l2, mu = settings.lmbda / steps, formulas.constant(settings.momentum)
    eta = formulas.constant(settings.eta_in(epoch, number, steps))
    after, moving, decaying = {}, {}, regularised(net)
    for path, gradient in gradients.items():
        w = wide[path]
        if path in decaying:
            cost = cost + (w * w).sum() * formulas.constant(l2) / 2
            gradient = gradient + formulas.constant(l2 + settings.weight_decay) * w
        v = mu * velocities[path].astype(Wide) - eta * gradient
        after[path] = w + (mu * v - eta * gradient if settings.nesterov else v)
        moving[path] = v
    names = _names(net.layers)
    state = {f"{n}.{key}": a for n, p in zip(names, passed, strict=True) for key, a in p.new_state.items()}
    share = formulas.constant(1 - settings.averaging)
    new = {**wide, **after, **state}
    averaged = {path: a + share * (new[path] - a) for path, a in _wide(averages).items()}
    return Stepped(cost, after, state, moving, averaged)


def regularised(net: Network) -> set[str]:
    """The paths of what decays: weights, but not those of a `BatchNorm`."""
    layers = dict(zip(_names(net.layers), net.layers, strict=True))
    paths = {path: path.rsplit(".", 1) for path in net.parameters}
    return {
        path
        for path, (name, key) in paths.items()
        if key == "weight" and not isinstance(layers[name], BatchNorm)
    }


def evaluate(net: Network, data: Dataset, arrays: Arrays) -> Evaluated:
    """The network as it is used, with these parameters and this layer state.

    No dropout, but the weighted inputs scaled by what would have been kept; running statistics in the place
    of the batch's.
    """
    wide = _wide(arrays)
    everything = list(range(len(data)))
    z = _forward(net, Formulas(net.dtype, training=False), _read(net, data, everything), wide, None)[
        -1
    ].output
    return Evaluated(_costs(z, data.labels), _softmax(z), z.argmax(axis=1))


def shifted(data: Dataset, down: int, right: int) -> Dataset:
    """Images whose pixel (y, x) is the one of (y - down, x - right), or 0 where there is none."""
    moved = np.zeros_like(data.inputs)
    *_, height, width = data.inputs.shape
    for y, x in np.ndindex(height, width):
        if 0 <= y + down < height and 0 <= x + right < width:
            moved[..., y + down, x + right] = data.inputs[..., y, x]
    return Dataset(moved, data.labels, scale=data.scale)


def _wide(arrays: Arrays) -> dict[str, Array]:
    return {path: array.astype(Wide) for path, array in arrays.items()}


def _names(layers: tuple[Layer, ...]) -> list[str]:
    return [str(i) if layer.name is None else layer.name for i, layer in enumerate(layers)]


def _read(net: Network, data: Dataset, rows: list[int]) -> Array:
    """The examples, as numbers of the network's dtype."""
    x = data.inputs[rows].astype(net.dtype).astype(Wide) * Formulas(net.dtype, False).constant(data.scale)
    return np.asarray(x.reshape(len(rows), *net.input_shape))


def _forward(
    net: Network, formulas: Formulas, x: Array, parameters: Arrays, step: tuple[int, int] | None
) -> list[Passed]:
    passed: list[Passed] = []
    for name, layer in zip(_names(net.layers), net.layers, strict=True):
        mask = None
        if isinstance(layer, Dropout | FullyConnected | Softmax) and layer.p_dropout and step is not None:
            # A layer that is dropout by itself keeps the shape; the others see their input as one axis.
            shape = x.shape if isinstance(layer, Dropout) else (len(x), math.prod(x.shape[1:]))
            mask = draws.mask(net.seed, f"{name}.dropout", shape, layer.p_dropout, *step).astype(Wide)
        own = {key.removeprefix(f"{name}."): a for key, a in parameters.items() if key.startswith(f"{name}.")}
        passed.append(formulas.apply(layer, x, own, mask))
        x = passed[-1].output
    return passed


def _log_sum(z: Array) -> Array:
    largest = z.max(axis=1, keepdims=True)
    total: Array = largest + np.log(np.exp(z - largest).sum(axis=1, keepdims=True))
    return total


def _softmax(z: Array) -> Array:
    return np.asarray(np.exp(z - _log_sum(z)))


def _costs(z: Array, labels: Array) -> Array:
    """-log softmax(z)[label] of each row (Nielsen, chapter 3, equation 80)."""
    chosen = np.take_along_axis(z, labels[:, None].astype(np.intp), axis=1)
    return np.asarray((_log_sum(z) - chosen)[:, 0])
