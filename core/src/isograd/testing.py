"""The smallest complete backend, for tests of what needs one, and as an example to read before writing one.

It runs every function with `isograd.graph.reference`, the executable specification: every dtype, every
primitive, one device, the same bits each time, and slowly. It is not a plugin, so that nobody chooses it by
accident; pass an instance as `backend=`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from isograd.backend import Backend, Capabilities
from isograd.backend_checks import check_dtypes, check_primitives, native_array
from isograd.graph import reference
from isograd.graph.dtypes import DTYPES
from isograd.graph.function import Function

__all__ = ["ReferenceBackend", "ReferenceExecutable"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class ReferenceExecutable:
    """A function together with its device: there is nothing to compile."""

    function: Function
    device: str

    def __call__(
        self, inputs: Mapping[str, Array], state: Mapping[str, Array]
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        self.function.check_call(inputs, state)
        return reference.call(self.function, inputs, state)


class ReferenceBackend(Backend):
    """Executes functions with the reference evaluation of the primitives, on the host."""

    name = "reference"
    version = "1"
    capabilities = Capabilities(dtypes=frozenset(DTYPES), deterministic=True)
    executables = ReferenceExecutable

    def devices(self) -> list[str]:
        return ["cpu"]

    def to_device(self, array: npt.NDArray[Any], device: str) -> Array:
        self.resolve_device(device)
        # NumPy adds up another order of memory in another order.
        return np.asarray(native_array(self.name, array, self.capabilities.dtypes), order="C")

    def to_host(self, array: Array) -> npt.NDArray[Any]:
        return array

    def compile(self, function: Function, device: str) -> ReferenceExecutable:
        check_primitives(self.name, function, reference.REFERENCE)
        check_dtypes(self.name, function, self.capabilities.dtypes)
        return ReferenceExecutable(function, self.resolve_device(device))
