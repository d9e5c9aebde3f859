"""The conformance suite: one set of tests that every backend of isograd passes, with derived tolerances.

    pytest --pyargs isograd_conformance --backend mine

and the cross-check of any network over backends,

    report = isograd_conformance.check(network, data, backends=["mine", "other:cuda:0"])

Importing this package imports neither Hypothesis nor any framework: pytest does so in every run, for its
plugin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isograd_conformance.crosscheck import CrossCheck as CrossCheck
    from isograd_conformance.crosscheck import check as check

__version__ = "0.1.0"
__all__ = ["CrossCheck", "check"]


def __getattr__(name: str) -> Any:
    """`check` and `CrossCheck`, imported when they are first used."""
    if name in __all__:
        from isograd_conformance import crosscheck

        return getattr(crosscheck, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
