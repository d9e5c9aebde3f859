"""What making images on the host adds to a training step, for each augmentation, in one run.

The step is that of the chapter's `dbl_conv_relu`, mini-batch 10. Whole runs differ by more than what is
measured, so the images are timed by themselves, between timed runs of plain steps, and set against their
median.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

from train import NETWORKS, Stopwatch

import isograd
from isograd import Network
from isograd.data import Dataset, expanded
from isograd.training import Affine, Elastic, OnePixelShifts
from isograd.training.draws import epoch_order
from isograd.training.images import Images

STEPS, ROWS = 256, 10


def cases(data: Dataset) -> dict[str, Images]:
    """The augmentations of the table in docs/performance.md."""
    affine = Affine(rotation=15, log_scale=0.1, shift=2, shear=0.1)
    return {
        "expanded": Images(expanded(data)),
        "OnePixelShifts": Images(data, (OnePixelShifts(),)),
        "Affine": Images(data, (affine,)),
        "Elastic": Images(data, (Elastic(),)),
        "Affine, Elastic": Images(data, (affine, Elastic())),
    }


def seconds(work: Callable[[], object]) -> float:
    """The time of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    data = isograd.load_dataset("mnist").training
    layers, settings = NETWORKS["conv2"]
    net, watch = Network(layers, data.feature_shape, init="n_in"), Stopwatch()
    examples = epoch_order(0, 0, len(data), True)[: STEPS * ROWS].reshape(STEPS, ROWS)
    plain: list[float] = []
    images: dict[str, list[float]] = {name: [] for name in cases(data)}
    for round_ in range(options.rounds + 1):
        net.SGD(
            data, 1, ROWS, max_steps=STEPS, callbacks=[watch], backend=options.backend, threads=1, **settings
        )
        # The first round has the compilation in it.
        if round_:
            plain.append(watch.ended - watch.started)
        for name, made in cases(data).items():
            images[name].append(seconds(lambda made=made: made.make(0, 0, 0, examples)))
    step = statistics.median(plain)
    print(f"plain step: {step / STEPS * 1e6:.0f} microseconds")
    for name, times in images.items():
        spent = statistics.median(times[1:])
        print(f"{name}: {spent / STEPS * 1e6:.0f} microseconds, {spent / step:.1%} of a step")


if __name__ == "__main__":
    main()
