"""The cross-check of a user's own network: do these backends compute the same thing, and where not?"""

from isograd_conformance.crosscheck.lockstep import check
from isograd_conformance.crosscheck.verdict import Cell, CrossCheck, Drift, Examined, FirstParting

__all__ = ["Cell", "CrossCheck", "Drift", "Examined", "FirstParting", "check"]
