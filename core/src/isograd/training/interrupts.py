"""Ctrl-C that waits for the end of a chunk."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Self


class DeferredInterrupt:
    """While active, the first SIGINT waits for `take`; the second raises KeyboardInterrupt as usual.

    It does nothing outside the main thread, where Python handles no signals, and where somebody else has
    installed a handler, which stays in charge.
    """

    def __init__(self) -> None:
        self._requested = False
        self._taken = False
        self._active = False

    def take(self) -> bool:
        """Whether there was one; whoever asks then acts on it."""
        self._taken = self._requested
        return self._requested

    def __enter__(self) -> Self:
        in_main_thread = threading.current_thread() is threading.main_thread()
        if in_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._request)
            self._active = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A callback may have installed a handler of its own meanwhile.
        if self._active and signal.getsignal(signal.SIGINT) == self._request:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self._active = False
        # One that came too late to be acted on must not be lost.
        if error is None and self._requested and not self._taken:
            raise KeyboardInterrupt

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self._requested:
            raise KeyboardInterrupt
        self._requested = True
