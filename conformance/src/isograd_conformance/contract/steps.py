"""A step of training, and an evaluation, by the words of the contract."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from isograd import Dataset, Dropout, FullyConnected, Layer, Network, Softmax
from isograd_conformance.contract import draws
from isograd_conformance.contract.layers import Array, Formulas, Passed, Wide

Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class Settings:
    """The arguments of `Network.SGD` that decide what a step does.

    The learning rate is `eta`, or where it falls half as much in each epoch as in the one before.
    """

    mini_batch_size: int
    eta: float
    lmbda: float = 0.0
    momentum: float = 0.0
    nesterov: bool = False
    shuffle: bool = True
    drop_last: bool = False
    falls: bool = False

    def eta_in(self, epoch: int) -> float:
        """The learning rate of an epoch, counted from 0."""
        return self.eta / 2**epoch if self.falls else self.eta

    def steps(self, examples: int) -> int:
        """m: the mini-batches of an epoch, the last smaller one among them unless it is dropped."""
        batches = examples / self.mini_batch_size
        return math.floor(batches) if self.drop_last else math.ceil(batches)


class Stepped(NamedTuple):
    """What one step makes: its cost before the update, and the parameters and velocities after it."""

    cost: Any
    parameters: dict[str, Array]
    velocities: dict[str, Array]


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
    epoch: int,
    number: int,
) -> Stepped:
    """One step from the parameters `before` and the velocities, both by path.

    The cost is the sum over the rows of -log softmax(z)[label] by the mini-batch size, plus half of lmbda / m
    times the sum of the squared weights. Then v' = mu v - eta g, and w' = w + v' or, by Nesterov's rule,
    w + mu v' - eta g.
    """
    formulas = Formulas(net.dtype, training=True)
    rows = batch(settings, net.seed, len(data), epoch, number)
    wide = {path: array.astype(Wide) for path, array in before.items()}
    passed = _forward(net, formulas, _read(net, data, rows), wide, (epoch, number))
    z, labels = passed[-1].output, data.labels[rows]
    chosen = np.arange(z.shape[1]) == labels[:, None]
    cost = _costs(z, labels).sum() / settings.mini_batch_size
    gradients: dict[str, Array] = {}
    g = (_softmax(z) - chosen) / settings.mini_batch_size
    for name, layer in reversed(list(zip(_names(net.layers), passed, strict=True))):
        g, found = layer.back(g)
        gradients |= {f"{name}.{key}": gradient for key, gradient in found.items()}
    decay = formulas.constant(settings.lmbda / settings.steps(len(data)))
    eta, mu = formulas.constant(settings.eta_in(epoch)), formulas.constant(settings.momentum)
    after, moving = {}, {}
    for path, w in wide.items():
        gradient = gradients[path]
        if path.endswith(".weight"):
            cost = cost + (w * w).sum() * decay / 2
            gradient = gradient + decay * w
        v = mu * velocities[path].astype(Wide) - eta * gradient
        after[path] = w + (mu * v - eta * gradient if settings.nesterov else v)
        moving[path] = v
    return Stepped(cost, after, moving)


def evaluate(net: Network, data: Dataset, parameters: Arrays) -> Evaluated:
    """The network as it is used: no dropout, but the weighted inputs scaled by what would have been kept."""
    wide = {path: array.astype(Wide) for path, array in parameters.items()}
    everything = list(range(len(data)))
    z = _forward(net, Formulas(net.dtype, training=False), _read(net, data, everything), wide, None)[
        -1
    ].output
    return Evaluated(_costs(z, data.labels), _softmax(z), z.argmax(axis=1))


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
