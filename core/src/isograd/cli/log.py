"""The library's log on stderr: warnings, and with --verbose more."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOBase
from typing import IO, cast

_WARNINGS = "isograd.cli: warnings"


@contextmanager
def warnings_shown() -> Iterator[None]:
    """Show warnings as what they say, a line each."""
    handler = logging.StreamHandler(sys.stderr)
    handler.set_name(_WARNINGS)
    handler.setLevel(logging.WARNING)
    with _handled(handler):
        yield


@contextmanager
def more_shown(verbosity: int) -> Iterator[None]:
    """Instead of them, all from level INFO with its origin; from a verbosity of 2, from level DEBUG."""
    with _handled(_handler()):
        logging.getLogger("isograd").setLevel(logging.INFO if verbosity == 1 else logging.DEBUG)
        yield


@contextmanager
def _handled(handler: logging.Handler) -> Iterator[None]:
    """A handler beside those that there are, but not beside that for warnings alone."""
    logger = logging.getLogger("isograd")
    handlers, level = logger.handlers, logger.level
    logger.handlers = [*(h for h in handlers if h.get_name() != _WARNINGS), handler]
    try:
        yield
    finally:
        logger.handlers = handlers
        logger.setLevel(level)


class _ErrorStream(TextIOBase):
    """The error stream of the moment: while there is a progress bar, its own, which writes above the bar."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()

    def isatty(self) -> bool:
        return sys.stderr.isatty()


def _handler() -> logging.Handler:
    """rich's on a terminal; elsewhere one of whole lines, which rich would fill up with spaces."""
    if not sys.stderr.isatty():
        plain = logging.StreamHandler(sys.stderr)
        plain.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        return plain
    from rich.console import Console
    from rich.logging import RichHandler

    handler = RichHandler(console=Console(file=cast(IO[str], _ErrorStream())), show_path=False)
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    return handler
