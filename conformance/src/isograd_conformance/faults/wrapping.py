"""Backends around another one, which by themselves change nothing: what the faults are made from."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from isograd.backend import Array, Backend, Executable
from isograd.backend_checks import check_executable, native_array
from isograd.graph import Function
from isograd_conformance.subject import HostArray

# Under which the suite finds a wrapped backend.
NAME = "faulty"

Arrays = Mapping[str, Array]
Made = tuple[dict[str, Array], dict[str, Array]]


class WrappedExecutable:
    """An executable around one of the wrapped backend.

    Attributes
    ----------
    function : Function
        What was asked for; `inner` may compute another one.
    device : str
    inner : Executable
    """

    def __init__(self, function: Function, device: str, inner: Executable) -> None:
        self.function, self.device, self.inner = function, device, inner

    def __call__(self, inputs: Arrays, state: Arrays) -> Made:
        return self.inner(inputs, state)


class Wrapped(Backend):
    """A backend that passes everything on to another one.

    Parameters
    ----------
    inner : Backend
    **capabilities
        What it declares in place of the other's.
    """

    name = NAME

    def __init__(self, inner: Backend, **capabilities: Any) -> None:
        self.inner = inner
        self.version = inner.version
        self.capabilities = replace(inner.capabilities, **capabilities)

    def devices(self) -> list[str]:
        return self.inner.devices()

    def to_device(self, array: HostArray, device: str) -> Array:
        return self.inner.to_device(array, device)

    def to_host(self, array: Array) -> HostArray:
        return self.inner.to_host(array)

    def compile(self, function: Function, device: str) -> Executable:
        inner = self.inner.compile(self.lowered(function), device)
        return WrappedExecutable(function, inner.device, inner)

    def compile_native_gradient(
        self, function: Function, cost: str, wrt: Sequence[str], device: str
    ) -> Executable:
        inner = self.inner.compile_native_gradient(function, cost, wrt, device)
        return WrappedExecutable(inner.function, inner.device, inner)

    def lowered(self, function: Function) -> Function:
        """What the wrapped backend compiles in place of `function`: of the same inputs and results."""
        return function

    def run_steps(
        self, executable: Executable, state: Arrays, resident: Arrays, per_step: Arrays, steps: int
    ) -> tuple[dict[str, HostArray], dict[str, Array]]:
        inner = check_executable(executable, WrappedExecutable).inner
        return self.inner.run_steps(inner, state, resident, per_step, steps)

    def execution(self, executable: Executable) -> str:
        return self.inner.execution(check_executable(executable, WrappedExecutable).inner)

    def limit_threads(self, threads: int) -> AbstractContextManager[None]:
        return self.inner.limit_threads(threads)

    def precision(self, dtype: str, device: str) -> str:
        return self.inner.precision(dtype, device)

    def compilation_key(self, device: str) -> Hashable:
        return self.name, self.inner.compilation_key(device)


class HostedExecutable(WrappedExecutable):
    """An executable of a `Hosted` backend: takes and gives arrays of its own on the host."""

    backend: Hosted

    def __call__(self, inputs: Arrays, state: Arrays) -> Made:
        self.check(inputs, state)
        return self.compute(inputs, state)

    def check(self, inputs: Arrays, state: Arrays) -> None:
        """Refuse what does not fit the function."""
        self.function.check_call(inputs, state)

    def compute(self, inputs: Arrays, state: Arrays) -> Made:
        """The results of the wrapped executable as arrays that nothing else shares."""
        outputs, new = self.inner(self.backend.sent(inputs), self.backend.sent(state))
        return self.backend.fetched(outputs), self.backend.fetched(new)


class Hosted(Wrapped):
    """Its arrays are NumPy's, moved to the wrapped backend for each call; steps run one after another.

    So what a fault does to memory can be written down for every backend.

    Parameters
    ----------
    inner : Backend
    executable : subclass of HostedExecutable, optional
    **capabilities
        As for `Wrapped`.
    """

    def __init__(
        self, inner: Backend, executable: type[HostedExecutable] = HostedExecutable, **capabilities: Any
    ) -> None:
        super().__init__(inner, **capabilities)
        self.kind = executable

    def to_device(self, array: HostArray, device: str) -> Array:
        self.resolve_device(device)
        return native_array(self.name, array, self.capabilities.dtypes)

    def to_host(self, array: Array) -> HostArray:
        return array  # type: ignore[no-any-return]

    def compile(self, function: Function, device: str) -> Executable:
        return self._hosted(function, self.inner.compile(self.lowered(function), device))

    def compile_native_gradient(
        self, function: Function, cost: str, wrt: Sequence[str], device: str
    ) -> Executable:
        inner = self.inner.compile_native_gradient(function, cost, wrt, device)
        return self._hosted(inner.function, inner)

    def _hosted(self, function: Function, inner: Executable) -> HostedExecutable:
        made = self.kind(function, inner.device, inner)
        made.backend = self
        return made

    def run_steps(
        self, executable: Executable, state: Arrays, resident: Arrays, per_step: Arrays, steps: int
    ) -> tuple[dict[str, HostArray], dict[str, Array]]:
        check_executable(executable, HostedExecutable)
        return Backend.run_steps(self, executable, state, resident, per_step, steps)

    def execution(self, executable: Executable) -> str:
        return ""

    def sent(self, arrays: Arrays) -> dict[str, Array]:
        """Arrays of this backend as the wrapped one's, on its default device."""
        device = self.inner.devices()[0]
        return {name: self.inner.to_device(array, device) for name, array in arrays.items()}

    def fetched(self, arrays: Arrays) -> dict[str, HostArray]:
        """Arrays of the wrapped backend as copies on the host."""
        return {name: np.array(self.inner.to_host(array)) for name, array in arrays.items()}


def wrapped_by(make: Callable[[Backend], Backend]) -> Callable[[Backend], AbstractContextManager[Backend]]:
    """`apply` of a fault that is a backend of its own, and leaves nothing to be undone."""

    @contextmanager
    def apply(backend: Backend) -> Iterator[Backend]:
        yield make(backend)

    return apply
