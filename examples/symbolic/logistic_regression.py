"""Logistic regression, the first example of Theano's tutorial: `python logistic_regression.py`."""

from __future__ import annotations

import numpy as np

import isograd
from isograd import graph as G
from isograd.symbolic import CompiledFunction


def main(examples: int = 400, features: int = 784, steps: int = 200) -> CompiledFunction:
    rng = np.random.default_rng(0)
    data = rng.normal(size=(examples, features)).astype("float32")
    labels = rng.integers(0, 2, (examples, 1)).astype("float32")

    x, y = isograd.variable("x", data.shape), isograd.variable("y", labels.shape)
    w, b = isograd.variable("w", (features, 1)), isograd.variable("b", ())
    z = x @ w + b
    cost = G.cross_entropy(z, y).mean() + 0.01 * ((w * w).sum() + b * b)
    gw, gb = isograd.grad(cost, [w, b])

    start = {w: np.zeros(w.shape, "float32"), b: 0}
    train = isograd.function([x, y], cost, {w: w - 0.1 * gw, b: b - 0.1 * gb}, state=start)
    predict = isograd.function([x], z > 0, state=train.state)
    for step in range(steps):
        now = train(data, labels)
        if step % (steps // 5) == 0:
            print(f"step {step}: cost {now:.4f}")
    print(f"cost {train(data, labels):.4f}, {np.mean(predict(data) == labels):.1%} right")
    return train


if __name__ == "__main__":
    main()
