"""The suite's own test: backends with one planted fault each, which it must catch, and correct variants.

    python -m isograd_conformance.faults --backend NAME

Every fault wraps the backend named on the command line through the public contract, so the campaign runs on
any backend. A fault comes with a witness: a computation in which the faulty backend and the right one differ.
"""

from __future__ import annotations

from isograd_conformance.faults.fault import Fault, Variant, applied
from isograd_conformance.faults.wrapping import NAME, Hosted, HostedExecutable, Wrapped, WrappedExecutable

__all__ = [
    "NAME",
    "Fault",
    "Hosted",
    "HostedExecutable",
    "Variant",
    "Wrapped",
    "WrappedExecutable",
    "applied",
]
