"""The backend under test, and the few calls that the suite makes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from isograd import choose_backend
from isograd.backend import Backend, Capabilities, Executable
from isograd.graph import FLOATING, Function
from isograd_conformance.bounds import Arithmetic

HostArray = npt.NDArray[Any]
HostArrays = Mapping[str, HostArray]


class Results(NamedTuple):
    """What a call or a run of steps gave, copied to the host."""

    outputs: dict[str, HostArray]
    state: dict[str, HostArray]


@dataclass(frozen=True)
class Subject:
    """A backend and one of its devices. Its arrays are opaque: they are made and read by the backend alone.

    Attributes
    ----------
    specification : str
        As on the command line: "NAME[:DEVICE]".
    backend : Backend
    device : str
    """

    specification: str
    backend: Backend
    device: str

    @classmethod
    def choose(cls, specification: str) -> Subject:
        """The backend of a specification; raises as `isograd.choose_backend`."""
        backend, device = choose_backend(specification)
        return cls(specification, backend, device)

    @property
    def capabilities(self) -> Capabilities:
        return self.backend.capabilities

    @property
    def floating(self) -> tuple[str, ...]:
        """The floating-point dtypes that are declared, float32 first."""
        return tuple(sorted(FLOATING & self.capabilities.dtypes))

    @property
    def arithmetic(self) -> Arithmetic:
        """What the bounds take of the backend, now: a switch for less precision may be thrown meanwhile."""
        return Arithmetic.of(self.backend, self.device)

    @property
    def reproducible(self) -> bool:
        """Whether a computation gives the same bits, whatever else is computed beside it."""
        return self.capabilities.deterministic and not self.capabilities.fuses

    def declares(self, *dtypes: str) -> bool:
        """Whether all these dtypes are declared."""
        return self.capabilities.dtypes >= set(dtypes)

    def send(self, arrays: HostArrays) -> dict[str, Any]:
        """Host arrays on the device."""
        return {name: self.backend.to_device(array, self.device) for name, array in arrays.items()}

    def fetch(self, arrays: Mapping[str, Any]) -> dict[str, HostArray]:
        """Arrays of the device on the host, as copies that nothing can change any more."""
        found = {name: self.backend.to_host(array) for name, array in arrays.items()}
        other = {
            name: type(array).__name__ for name, array in found.items() if not isinstance(array, np.ndarray)
        }
        assert not other, f"to_host gave no NumPy arrays: {other}"
        return {name: np.array(array) for name, array in found.items()}

    def compile(self, function: Function) -> Executable:
        return self.backend.compile(function, self.device)

    def compile_native_gradient(self, function: Function, cost: str, wrt: Sequence[str]) -> Executable:
        return self.backend.compile_native_gradient(function, cost, wrt, self.device)

    def call(self, executable: Executable, inputs: HostArrays, state: HostArrays | None = None) -> Results:
        """One call, from host to host."""
        outputs, new = executable(self.send(inputs), self.send(state or {}))
        return Results(self.fetch(outputs), self.fetch(new))

    def run_steps(
        self,
        executable: Executable,
        state: HostArrays,
        resident: HostArrays,
        per_step: HostArrays,
        steps: int,
    ) -> Results:
        """A run of steps, from host to host."""
        outputs, new = self.backend.run_steps(
            executable, self.send(state), self.send(resident), self.send(per_step), steps
        )
        return Results({name: np.array(rows) for name, rows in outputs.items()}, self.fetch(new))
