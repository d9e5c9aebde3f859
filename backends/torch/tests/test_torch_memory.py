"""Steps work in memory that the process has already."""

from __future__ import annotations

import platform
import subprocess
import sys

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
def test_after_a_run_of_steps_freed_memory_is_used_again_and_not_asked_of_the_system_anew() -> None:
    """48 MiB in blocks, taken and freed over and over, as a step does it; what is counted is page faults."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", STEPS_THEN_BLOCKS],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    share_of_new_pages = float(result.stdout)
    assert share_of_new_pages < 0.1
