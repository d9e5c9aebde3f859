"""A denoising autoencoder with tied weights, on images of bars: `python autoencoder.py`."""

from __future__ import annotations

import numpy as np

import isograd
from isograd import graph as G


def main(examples: int = 200, side: int = 6, hidden: int = 12, steps: int = 500) -> None:
    rng = np.random.default_rng(0)
    # Images of horizontal and vertical bars, each there or not.
    rows, columns = rng.random((2, examples, side)) < 0.3
    images = (rows[:, :, None] | columns[:, None, :]).reshape(examples, -1).astype("float32")

    x, noisy = isograd.variable("x", images.shape), isograd.variable("noisy", images.shape)
    w = isograd.variable("w", (side * side, hidden))
    b, c = isograd.variable("b", (hidden,)), isograd.variable("c", (side * side,))
    code = G.sigmoid(noisy @ w + b)
    z = code @ w.transpose() + c
    cost = G.cross_entropy(z, x).mean()

    start = {v: rng.normal(0, 0.1, v.shape).astype("float32") for v in (w, b, c)}
    updates = {v: v - 0.1 * g for v, g in zip(start, isograd.grad(cost, list(start)), strict=True)}
    train = isograd.function([x, noisy], cost, updates, state=start)
    for step in range(steps):
        now = train(images, images * (rng.random(images.shape) < 0.8).astype("float32"))
        if step % (steps // 5) == 0 or step == steps - 1:
            print(f"step {step}: cost {now:.4f}")


if __name__ == "__main__":
    main()
