"""How far backends drift apart: costs of an epoch in float32, weights after 1,000 steps in float64.

Writes a figure and prints Markdown tables. With the backends, isograd-conformance, isograd-mnist and
matplotlib installed:  python agreement.py numpy torch jax --out ../docs/figures/first_epoch_costs.png
"""

from __future__ import annotations

import argparse
from itertools import combinations
from pathlib import Path

import numpy as np

import isograd
from isograd import Callback, Dataset, Network
from isograd.runs import RunFile, read_preset
from isograd.training import Progress
from isograd.training.draws import Chunk
from isograd.training.step import step_function, step_graph
from isograd_conformance.bounds import Arithmetic, Tracked, track
from isograd_conformance.networks import StepPlan, step_inputs

FLOAT64_STEPS = 1000
BOUNDED_STEPS = 3
MEAN_STEPS = 100


class Costs(Callback):
    """The cost of every step."""

    every = 1

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_chunk(self, progress: Progress) -> None:
        self.values.append(progress.cost)


def train(run: RunFile, backend: str, dtype: str, data: Dataset, **options: object) -> tuple[Network, Costs]:
    costs = Costs()
    net = Network(run.layers(), run.network.input_shape, run.seed, init=run.network.init, dtype=dtype)
    settings = run.training
    net.SGD(
        data, 1, settings.mini_batch_size, run.eta(), lmbda=settings.lmbda,
        callbacks=[costs], backend=backend, progress=False, **options,
    )  # fmt: skip
    return net, costs


def first_bounds(run: RunFile, data: Dataset) -> list[Tracked]:
    """The cost of each of the first steps, with the bound of what a correct backend may differ from it.

    The bound of a step's new weights is what the next step's weights may differ by.
    """
    net = Network(run.layers(), run.network.input_shape, run.seed, init=run.network.init)
    size, eta = run.training.mini_batch_size, run.eta()
    assert isinstance(eta, float)
    options = StepPlan(size, eta, run.training.lmbda).options(len(data))
    function = step_function(step_graph(net.architecture, data, size, options))
    arithmetic = Arithmetic(reorders=True, flushes_subnormals=True)
    values: dict[str, np.ndarray] = dict(net.parameters)
    errors = {path: np.zeros(array.shape) for path, array in values.items()}
    found = []
    for step in range(BOUNDED_STEPS):
        inputs = step_inputs(net, data, Chunk(0, step, 1, size), size, eta)
        wanted = [function.outputs["cost"], *function.updates.values()]
        cost, *new = track(wanted, {**inputs, **values}, arithmetic, errors)
        found.append(cost)
        values = {
            n: tracked.value.astype("float32") for n, tracked in zip(function.updates, new, strict=True)
        }
        errors = {n: tracked.error for n, tracked in zip(function.updates, new, strict=True)}
    return found


def draw(curves: dict[str, np.ndarray], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (above, below) = plt.subplots(2, 1, figsize=(9, 7), layout="constrained")
    for (name, costs), style in zip(curves.items(), ("-", "--", ":"), strict=False):
        means = np.convolve(costs, np.ones(MEAN_STEPS) / MEAN_STEPS, "valid")
        above.plot(np.arange(len(means)) + MEAN_STEPS, means, style, label=name, linewidth=1.6)
    above.set(ylabel=f"cost, mean of {MEAN_STEPS} steps", yscale="log")
    above.legend(title="backend")
    for a, b in combinations(curves, 2):
        apart = np.maximum.accumulate(abs(curves[a] - curves[b]))
        steps = np.arange(1, len(apart) + 1)
        below.plot(steps, np.where(apart > 0, apart, np.nan), label=f"{a}, {b}", linewidth=1.4)
    below.set(ylabel="largest gap of a step's cost so far", xscale="log", yscale="log")
    below.set_xlabel("step of the first epoch, mini-batches of 10")
    below.legend(title="between")
    for axes in (above, below):
        axes.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("backends", nargs="+")
    parser.add_argument("--out", type=Path, default=Path("first_epoch_costs.png"))
    options = parser.parse_args()
    data = isograd.load_dataset("mnist").training
    pairs = list(combinations(options.backends, 2))

    run = read_preset("chapter6/dbl_conv_relu")
    curves = {b: np.array(train(run, b, "float32", data)[1].values) for b in options.backends}
    draw(curves, options.out)
    print(f"\n{run.name}, float32, gap of a step's cost:\n")
    print("| backends | step 0 | by step 10 | by step 100 | by step 1,000 | largest | at step |")
    print("|---|---|---|---|---|---|---|")
    for a, b in pairs:
        apart = abs(curves[a] - curves[b])
        cells = [f"{apart[:n].max():.1e}" for n in (1, 11, 101, 1001, len(apart))]
        print(f"| {a}, {b} | {' | '.join(cells)} | {apart.argmax():,} |")
    means = ", ".join(f"{b} {c.mean():.5f}" for b, c in curves.items())
    print(f"\nmean cost of the epoch: {means}\n")
    print("| step | cost | bound E of its error |\n|---|---|---|")
    for step, (value, error) in enumerate(first_bounds(run, data)):
        print(f"| {step} | {float(value):.4f} | {float(error):.1e} |")

    print(f"\nfloat64, {FLOAT64_STEPS:,} steps, largest difference relative to the tensor's scale:\n")
    print("| network | " + " | ".join(f"{a}, {b}" for a, b in pairs) + " |")
    print("|---|" + "---|" * len(pairs))
    for name in ("chapter6/dbl_conv_relu", "chapter6/double_fc_dropout"):
        run = read_preset(name)
        trained = {
            b: train(run, b, "float64", data, max_steps=FLOAT64_STEPS)[0].parameters for b in options.backends
        }
        cells = [
            max(abs(w - trained[b][p]).max() / abs(w).max() for p, w in trained[a].items()) for a, b in pairs
        ]
        print(f"| {name} | " + " | ".join(f"{cell:.1e}" for cell in cells) + " |")


if __name__ == "__main__":
    main()
