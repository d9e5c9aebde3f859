"""A layer and a cost of one's own, which files name and every backend runs."""

from __future__ import annotations

from isograd_maxout.huber import Huber
from isograd_maxout.maxout import Maxout

__all__ = ["Huber", "Maxout"]
