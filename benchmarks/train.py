"""isograd's training loop on the yardstick networks, for `peers/run.py --ours`: prints one line of JSON."""

from __future__ import annotations

import argparse
import json
import time

import isograd
from isograd import Callback, ConvPool, FullyConnected, Network, Softmax
from isograd.training import Progress

CONVOLUTIONS = [ConvPool(20, activation="relu"), ConvPool(40, activation="relu")]
NETWORKS = {
    "shallow": ([FullyConnected(100), Softmax(10)], {"eta": 0.1}),
    "conv2": (
        [*CONVOLUTIONS, FullyConnected(100, activation="relu"), Softmax(10)],
        {"eta": 0.03, "lmbda": 0.1},
    ),
    "dropout": (
        [
            *CONVOLUTIONS,
            FullyConnected(1000, activation="relu", p_dropout=0.5),
            FullyConnected(1000, activation="relu", p_dropout=0.5),
            Softmax(10, p_dropout=0.5),
        ],
        {"eta": 0.03},
    ),
}


class Stopwatch(Callback):
    """Times from the start of training to the end of its last chunk: compilation and checks are left out."""

    def on_start(self, progress: Progress) -> None:
        self.costs: list[float] = []
        self.started = self.ended = time.perf_counter()

    def on_chunk(self, progress: Progress) -> None:
        self.ended = time.perf_counter()
        self.costs.append(progress.cost)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--net", choices=NETWORKS, default="conv2")
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--backend")
    options = parser.parse_args()
    layers, settings = NETWORKS[options.net]
    training = isograd.load_dataset("mnist").training
    net = Network(layers, training.feature_shape, init="n_in")
    watch = Stopwatch()
    for steps in (30, options.steps):
        net.SGD(
            training,
            1 + options.steps * options.batch // len(training),
            options.batch,
            max_steps=steps,
            backend=options.backend,
            callbacks=[watch],
            progress=False,
            **settings,
        )
    seconds = watch.ended - watch.started
    print(
        json.dumps(
            {
                "peer": "isograd",
                "net": options.net,
                "batch": options.batch,
                "images_per_second": round(options.steps * options.batch / seconds),
                "us_per_step": round(seconds / options.steps * 1e6, 1),
                "cost": round(watch.costs[-1], 4),
            }
        )
    )


if __name__ == "__main__":
    main()
