"""A training step of `mnist/fast` on PyTorch against the loop that an expert would write by hand, in one run.

The hand-written loop has `Conv2d` without bias, `BatchNorm2d`, in-place `ReLU`, channels last and
`torch.optim.SGD`. Both sides have the same images in memory (no augmentation, no evaluation), the same
mini-batches of 128 and one thread; rounds of steps alternate. Only the ratio means anything.
"""

from __future__ import annotations

import argparse
import statistics
import time
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional
from train import Stopwatch

import isograd
from isograd import Network
from isograd.runs import find_run
from isograd.training.draws import epoch_order

ROWS, STEPS = 128, 40
CHANNELS = (1, 24, 48, 48, 96, 96)
# The places of the convolutions that a pooling follows, before the normalisation.
POOLED = (0, 2, 4)


def by_hand() -> nn.Module:
    """The network of the preset."""
    layers: list[nn.Module] = []
    for place, (before, after) in enumerate(pairwise(CHANNELS)):
        layers.append(nn.Conv2d(before, after, 3, padding=int(place > 0), bias=False))
        if place in POOLED:
            layers.append(nn.MaxPool2d(2))
        layers += [nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(CHANNELS[-1] * 9, 10)).to(
        memory_format=torch.channels_last
    )


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    run, data = find_run("mnist/fast"), isograd.load_dataset("mnist").training
    ours, watch = Network(run.layers(), run.network.input_shape, init="he"), Stopwatch()
    net, images = by_hand(), torch.tensor(data.inputs).reshape(-1, 1, 28, 28)
    labels = torch.tensor(data.labels).long()
    ratios, times = [], []
    for _ in range(rounds + 1):
        hand = steps_by_hand(net, images, labels)
        ours.SGD(
            data, 1, ROWS, 0.01, momentum=0.9, nesterov=True, weight_decay=5e-4, label_smoothing=0.1,
            max_steps=STEPS, callbacks=[watch], backend="torch", threads=1, progress=False,
        )  # fmt: skip
        spent = watch.ended - watch.started
        ratios.append(hand / spent)
        times.append((hand / STEPS * 1e3, spent / STEPS * 1e3))
    # The first round has the compilation in it.
    hand_ms, ours_ms = (statistics.median(column) for column in zip(*times[1:], strict=True))
    spread = f"{min(ratios[1:]):.2f} to {max(ratios[1:]):.2f}"
    print(f"by hand {hand_ms:.1f} ms a step, ours {ours_ms:.1f}; ours is {statistics.median(ratios[1:]):.2f} "
          f"times as fast ({spread})")  # fmt: skip


if __name__ == "__main__":
    main()
