"""What isograd knows of this backend before it is used: no framework is imported here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isograd.plugins import BackendDescriptor

if TYPE_CHECKING:
    from isograd.backend import Backend


def load() -> Backend:
    from isograd_numpy.backend import NumpyBackend

    return NumpyBackend()


descriptor = BackendDescriptor(
    name="numpy",
    summary="NumPy and its BLAS, on the CPU",
    load=load,
    requires=("numpy", "scipy"),
    distribution="isograd-numpy",
    dtypes=("float32", "float64", "int32", "bool", "uint8"),
    priority=100,
)
