"""What isograd knows of this backend before it is used: no framework is imported here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isograd.plugins import BackendDescriptor

if TYPE_CHECKING:
    from isograd.backend import Backend


def load() -> Backend:
    from isograd_jax.backend import JaxBackend

    return JaxBackend()


descriptor = BackendDescriptor(
    name="jax",
    summary="JAX and its compiler XLA, on the CPU and on the accelerators that it reports",
    load=load,
    requires=("jax",),
    distribution="isograd-jax",
    dtypes=("float32", "float64", "int32", "bool", "uint8"),
    priority=40,
)
