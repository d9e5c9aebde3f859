"""Images that are changed anew each epoch, on the host: a training set that grows without being stored."""

from __future__ import annotations

from isograd.training.augmentation.specs import (
    Affine,
    Augmentation,
    Elastic,
    OnePixelShifts,
    checked_augmentation,
    from_data,
    to_data,
)

__all__ = [
    "Affine",
    "Augmentation",
    "Elastic",
    "OnePixelShifts",
    "checked_augmentation",
    "from_data",
    "to_data",
]
