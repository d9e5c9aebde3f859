"""A layer and a cost of one's own, for data with outliers: `python custom_layer.py`."""

from __future__ import annotations

import numpy as np

import isograd
from isograd import Tensor
from isograd import graph as G


def radial_basis(x: Tensor, centres: Tensor, width: Tensor) -> Tensor:
    """exp(-width * |x - centre|^2), (rows, units), of x (rows, features) and centres (units, features)."""
    distance = x.reshape(x.shape[0], 1, -1) - centres
    return G.exp(-width * (distance * distance).sum(2))


def huber(error: Tensor, delta: float = 0.1) -> Tensor:
    """error^2 / 2 where |error| < delta, and beyond that as its tangent there."""
    size = G.abs_(error)
    return G.where(size < delta, 0.5 * error * error, delta * (size - 0.5 * delta))


def main(examples: int = 100, units: int = 10, steps: int = 1000) -> None:
    inputs = np.linspace(-1, 1, examples, dtype="float32").reshape(-1, 1)
    targets = np.sin(4 * inputs)
    targets[::10] += 3  # outliers

    x, y = isograd.variable("x", inputs.shape), isograd.variable("y", targets.shape)
    centres, width = isograd.variable("centres", (units, 1)), isograd.variable("width", ())
    w = isograd.variable("w", (units, 1))
    cost = huber(radial_basis(x, centres, width) @ w - y).mean()

    start = {centres: np.linspace(-1, 1, units, dtype="float32").reshape(-1, 1), width: 5, w: [[0]] * units}
    updates = {v: v - 0.5 * g for v, g in zip(start, isograd.grad(cost, list(start)), strict=True)}
    train = isograd.function([x, y], cost, updates, state=start)
    for step in range(steps):
        now = train(inputs, targets)
        if step % (steps // 5) == 0 or step == steps - 1:
            print(f"step {step}: cost {now:.5f}")


if __name__ == "__main__":
    main()
