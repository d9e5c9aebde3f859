"""What the suite adds to isograd's command line: the command `check`. Nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from isograd.plugins import CommandDescriptor, hookimpl


def _load_check() -> Callable[..., Any]:
    from isograd_conformance.crosscheck.command import check

    return check


@hookimpl
def isograd_commands() -> Sequence[CommandDescriptor]:
    return [
        CommandDescriptor(
            name="check",
            summary="Cross-check a network over backends: outputs, gradients and training steps.",
            load=_load_check,
        )
    ]
