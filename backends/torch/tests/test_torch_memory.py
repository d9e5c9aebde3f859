"""Steps work in memory that the process has already."""

from __future__ import annotations

import platform
from collections.abc import Callable

import pytest

STEPS_THEN_BLOCKS = """
import resource
import torch
from isograd import graph as G
from isograd_torch.backend import TorchBackend

x, w = G.variable("x", (4,)), G.variable("w", (4,))
function = G.Function({"x": x}, {"cost": (w * x).sum()}, {"w": w}, {"w": w - x})
TorchBackend().compile(function, "cpu").run_steps({"w": torch.ones(4)}, {"x": torch.ones(4)}, {}, 3)

BLOCKS, BYTES = 12, 2**22

def touch_blocks():
    blocks = [torch.ones(BYTES, dtype=torch.uint8) for _ in range(BLOCKS)]

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

touch_blocks()
before = faults()
for _ in range(10):
    touch_blocks()
print((faults() - before) / 10 / (BLOCKS * BYTES / resource.getpagesize()))
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only the GNU C library can be told to keep memory"
)
def test_after_a_run_of_steps_freed_memory_is_used_again_and_not_asked_of_the_system_anew(
    new_process: Callable[[str], str],
) -> None:
    """48 MiB in blocks, taken and freed over and over, as a step does it; what is counted is page faults."""
    share_of_new_pages = float(new_process(STEPS_THEN_BLOCKS))
    # One of the twelve blocks in two turns; where memory is given back it is from one in each turn to all.
    assert share_of_new_pages < 1 / 24
