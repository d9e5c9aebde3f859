"""A training step of `mnist/fast` on PyTorch against the loop that an expert would write by hand, in one run.

The hand-written loop has `Conv2d` without bias, `BatchNorm2d`, in-place `ReLU`, channels last and
`torch.optim.SGD`. Both sides have the same images in memory (no augmentation, no evaluation), the same
mini-batches of 64 and one thread. Each side runs in processes of its own, which alternate: what one leaves
to the allocator of a process would help the other. Only the ratio means anything.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.nn import functional
from train import Stopwatch

import isograd
from isograd import Network
from isograd.data import Dataset
from isograd.runs import find_run
from isograd.training.draws import epoch_order

ROWS, STEPS = 64, 80


def by_hand() -> nn.Module:
    """The network of the preset."""
    return nn.Sequential(
        *block(1, 24, 5, pool=True),
        *block(24, 48, 3, padding=1),
        *block(48, 48, 3, padding=1, pool=True),
        *block(48, 96, 3, padding=1),
        *block(96, 96, 3, padding=1),
        *block(96, 96, 3),
        nn.Flatten(),
        nn.Linear(96 * 4 * 4, 10),
    ).to(memory_format=torch.channels_last)


def block(before: int, after: int, window: int, *, padding: int = 0, pool: bool = False) -> list[nn.Module]:
    """A convolution, with the pooling before the normalisation."""
    pooling = [nn.MaxPool2d(2)] if pool else []
    convolution = nn.Conv2d(before, after, window, padding=padding, bias=False)
    return [convolution, *pooling, nn.BatchNorm2d(after), nn.ReLU(inplace=True)]


def steps_by_hand(net: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Seconds for so many steps."""
    optimiser = torch.optim.SGD(net.parameters(), 0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)
    order = torch.from_numpy(epoch_order(0, 0, len(images), True)[: STEPS * ROWS].reshape(STEPS, ROWS))
    started = time.perf_counter()
    for rows in order:
        optimiser.zero_grad()
        x = (images[rows].float() / 256).contiguous(memory_format=torch.channels_last)
        functional.cross_entropy(net(x), labels[rows], label_smoothing=0.1).backward()
        optimiser.step()
    return time.perf_counter() - started


def steps_of_ours(data: Dataset) -> Callable[[], float]:
    """A function that trains the preset's network for so many steps, and says how many seconds they took."""
    run, watch = find_run("mnist/fast"), Stopwatch()
    net = Network(run.layers(), run.network.input_shape, init="he")

    def spent() -> float:
        net.SGD(
            data, 1, ROWS, 0.01, momentum=0.9, nesterov=True, weight_decay=5e-4, label_smoothing=0.1,
            max_steps=STEPS, callbacks=[watch], backend="torch", threads=1, progress=False,
        )  # fmt: skip
        return watch.ended - watch.started

    return spent


def measure(side: str) -> float:
    """Milliseconds a step, after as many steps to warm up, in this process."""
    torch.set_num_threads(1)
    data = isograd.load_dataset("mnist").training
    if side == "ours":
        spent = steps_of_ours(data)
    else:
        net, images = by_hand(), torch.tensor(data.inputs).reshape(-1, 1, 28, 28)
        spent = partial(steps_by_hand, net, images, torch.tensor(data.labels).long())
    spent()
    return spent() / STEPS * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--side", choices=("hand", "ours"), help="measure one side, once")
    options = parser.parse_args()
    if options.side:
        print(measure(options.side))
        return
    times: dict[str, list[float]] = {"hand": [], "ours": []}
    for _ in range(options.rounds):
        for side, found in times.items():
            command = [sys.executable, __file__, "--side", side]
            found.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    ratios = [hand / ours for hand, ours in zip(*times.values(), strict=True)]
    hand, ours = (statistics.median(found) for found in times.values())
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    print(f"by hand {hand:.1f} ms a step, ours {ours:.1f}")
    print(f"ours is {statistics.median(ratios):.2f} times as fast ({spread})")


if __name__ == "__main__":
    main()
