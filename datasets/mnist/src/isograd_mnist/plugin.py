"""What this distribution tells isograd; light, because listing data sets imports it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isograd.plugins import DatasetDescriptor, hookimpl

if TYPE_CHECKING:
    from isograd.data import DatasetSplits


@hookimpl
def isograd_datasets() -> list[DatasetDescriptor]:
    """The one data set of this distribution, ``"mnist"``."""
    return [
        DatasetDescriptor(
            "mnist",
            "70,000 handwritten digits, 28 x 28 pixels, ten classes",
            _load,
            licence="CC BY-SA 3.0",
            examples=70_000,
        )
    ]


def _load() -> DatasetSplits:
    from isograd_mnist.digits import load

    return load()
