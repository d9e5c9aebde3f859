"""What isograd finds through the entry point: the hooks, and nothing heavy before they are asked."""

from __future__ import annotations

from collections.abc import Sequence

from isograd.plugins import hookimpl


@hookimpl
def isograd_layers() -> Sequence[type]:
    from isograd_maxout.maxout import Maxout

    return [Maxout]


@hookimpl
def isograd_costs() -> Sequence[type]:
    from isograd_maxout.huber import Huber

    return [Huber]
