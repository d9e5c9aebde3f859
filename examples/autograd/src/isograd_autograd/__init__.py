"""What isograd knows of this backend before it is used. Import no library here: listings are fast."""

from isograd.backend import Backend
from isograd.plugins import BackendDescriptor

__version__ = "0.1.0"


def load() -> Backend:
    from isograd_autograd.backend import AutogradBackend

    return AutogradBackend()


descriptor = BackendDescriptor(
    name="autograd",
    summary="NumPy, differentiated by HIPS autograd",
    load=load,
    requires=("autograd",),
    dtypes=("float32", "float64", "int32", "bool", "uint8"),
)
