"""All faults and all correct variants, by name."""

from __future__ import annotations

from isograd_conformance.faults.catalogue import (
    caching,
    contractions,
    execution,
    native,
    primitives,
    refusals,
    stepping,
    training,
    transfers,
    variants,
)
from isograd_conformance.faults.fault import Fault, Variant

_MODULES = (primitives, contractions, execution, stepping, caching, transfers, refusals, native, training)

ALL: tuple[Fault, ...] = tuple(fault for module in _MODULES for fault in module.FAULTS)
FAULTS: dict[str, Fault] = {fault.name: fault for fault in ALL}
VARIANTS: dict[str, Variant] = {variant.name: variant for variant in variants.VARIANTS}
