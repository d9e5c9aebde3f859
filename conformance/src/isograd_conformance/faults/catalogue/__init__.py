"""All faults and all correct variants, by name."""

from __future__ import annotations

from isograd_conformance.faults.catalogue import (
    caching,
    capabilities,
    contractions,
    derivation,
    execution,
    native,
    poolings,
    primitives,
    recipes,
    refusals,
    stepping,
    structure,
    training,
    transfers,
    updates,
    variants,
)
from isograd_conformance.faults.fault import Fault, Variant

_MODULES = (
    *(structure, primitives, contractions, poolings, updates, execution, stepping, caching, transfers),
    *(refusals, capabilities, native, training, recipes, derivation),
)

ALL: tuple[Fault, ...] = tuple(fault for module in _MODULES for fault in module.FAULTS)
FAULTS: dict[str, Fault] = {fault.name: fault for fault in ALL}
CONTROL = variants.CONTROL
VARIANTS: dict[str, Variant] = {variant.name: variant for variant in variants.VARIANTS}
