"""What becomes of the memory of intermediate results between two steps on the CPU."""

from __future__ import annotations

from functools import cache

import torch

# The largest block whose release the allocator learns from is 32 MiB with its header.
_LEARNT_FROM = 2**25 - 2**16


@cache
def keep_freed_memory() -> None:
    """Have the C library keep up to 64 MiB of freed memory instead of giving it back at the end of a step.

    What a step of large images frees comes back from the system page by page in the next one. The GNU C
    library keeps twice the largest block that it has seen released, of up to 32 MiB (mallopt(3),
    M_MMAP_THRESHOLD): so one is released, of which no page is ever touched. A MALLOC_TRIM_THRESHOLD_ or
    MALLOC_MMAP_THRESHOLD_ of the environment stays in force; other C libraries take no notice.
    """
    torch.empty(_LEARNT_FROM, dtype=torch.uint8)
