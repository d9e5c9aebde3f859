"""An interruption at a chosen place, the same one every time, as Ctrl-C would make it."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Self


class Calls:
    """Counts the calls that are made, and interrupts the one with a given number as Ctrl-C would.

    Python looks for Ctrl-C when it enters a function of its own and when a function in C has returned, but
    not before it calls one: so leaving ``with lock:`` is never without its release. A profiler is called at
    these places, at the same ones every time, however fast the machine is.
    """

    def __init__(self, interrupted: int | None = None) -> None:
        self.count = 0
        self._interrupted = interrupted

    def __enter__(self) -> Self:
        self._before = sys.getprofile()
        sys.setprofile(self._profile)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(self._before)

    def _profile(self, frame: FrameType, event: str, argument: object) -> None:
        if event in ("call", "c_return"):
            self.count += 1
            if self.count == self._interrupted:
                raise KeyboardInterrupt
