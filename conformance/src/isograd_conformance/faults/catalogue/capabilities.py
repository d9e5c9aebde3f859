"""Faults in what a backend declares of itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import numpy as np

from isograd import graph as G
from isograd.backend import Array, Backend, Executable
from isograd.errors import UnsupportedError
from isograd.graph import Function
from isograd_conformance.faults.catalogue.refusals import refusal
from isograd_conformance.faults.fault import Fault
from isograd_conformance.faults.witness import outcome, picked_rows, ramp
from isograd_conformance.faults.wrapping import Wrapped, wrapped_by
from isograd_conformance.subject import HostArray, Subject


class AnyDevice(Wrapped):
    """A device that there is not is taken for the default one."""

    def resolve_device(self, device: str | None, argument: str = "device") -> str:
        return device if device in self.devices() else self.devices()[0]

    def compile(self, function: Function, device: str) -> Executable:
        return super().compile(function, self.resolve_device(device))

    def to_device(self, array: HostArray, device: str) -> Array:
        return super().to_device(array, self.resolve_device(device))


class Undeclared(Wrapped):
    """Declares single precision only, and takes and computes double precision all the same."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner, dtypes=inner.capabilities.dtypes - {"float64"})


class HalfTaken(Wrapped):
    """Takes arrays of half precision, which it does not declare, in single precision."""

    def to_device(self, array: HostArray, device: str) -> Array:
        return super().to_device(array.astype("float32") if array.dtype == np.float16 else array, device)


class LongTaken(Wrapped):
    """Takes whole numbers of 64 bits, which it does not declare, in 32."""

    def to_device(self, array: HostArray, device: str) -> Array:
        return super().to_device(array.astype("int32") if array.dtype == np.int64 else array, device)


class SomeGradient(Wrapped):
    """Declares no native gradient, and compiles something all the same."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner, native_gradient=False)

    def compile_native_gradient(self, function: Function, *arguments: Any) -> Executable:
        return self.compile(function, self.devices()[0])


class Swallowing(Wrapped):
    """Inside a limit of threads exceptions end."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner, limits_threads=True)

    def limit_threads(self, threads: int) -> AbstractContextManager[None]:
        return suppress(BaseException)


class Unlimited(Wrapped):
    """Declares that it limits threads, and refuses to."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner, limits_threads=True)

    def limit_threads(self, threads: int) -> AbstractContextManager[None]:
        raise UnsupportedError(f"backend {self.name!r} can not limit its threads")


class LimitedForGood(Wrapped):
    """After a limit of threads was left, functions are computed with a result of each lost."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner, limits_threads=True)
        self._limited = False

    @contextmanager
    def limit_threads(self, threads: int) -> Iterator[None]:
        self._limited = True
        yield
        self._limited = False

    def to_host(self, array: Array) -> HostArray:
        host = super().to_host(array)
        return host * 0 if self._limited and host.dtype.kind == "f" else host


class AnotherDevice(Wrapped):
    """An executable that names no device of its backend."""

    def compile(self, function: Function, device: str) -> Executable:
        made = super().compile(function, device)
        made.device = "default"  # type: ignore[misc]
        return made


class AnotherFunction(Wrapped):
    """An executable that hands out what it was lowered to."""

    def compile(self, function: Function, device: str) -> Executable:
        twice = {name: G.neg(G.neg(t)) if t.dtype == "float32" else t for name, t in function.outputs.items()}
        lowered = Function(function.inputs, twice, function.state, function.updates)
        made = super().compile(function, device)
        made.function = lowered  # type: ignore[misc]
        return made


def _undeclared(seen: Subject) -> object:
    """Whether it does what it declares and no more, in double precision."""
    with suppress(UnsupportedError):
        seen.backend.to_device(np.ones(2), seen.device)
        return seen.declares("float64")
    return not seen.declares("float64")


def _gradient(seen: Subject) -> object:
    """Whether there is a native gradient just where one is declared."""
    x = G.variable("x", (2,), "float32")
    with suppress(UnsupportedError):
        seen.compile_native_gradient(Function({"x": x}, {"cost": (x * x).sum()}), "cost", ["x"])
        return seen.capabilities.native_gradient
    return not seen.capabilities.native_gradient


def _limited(seen: Subject) -> object:
    """Whether a limit of threads is what is declared: a context that lets exceptions pass, or an error."""
    if not seen.capabilities.limits_threads:
        return True
    x = G.variable("x", (2,), "float32")
    executable = seen.compile(Function({"x": x}, {"y": x + 1}))
    try:
        with seen.backend.limit_threads(1):
            raise ArithmeticError("inside the limit")
        return "an exception ended inside the limit"
    except UnsupportedError:
        return "refused"
    except ArithmeticError:
        return bool((seen.call(executable, {"x": ramp(2)}).outputs["y"] == ramp(2) + 1).all())


X64 = frozenset({"float32", "float64"})

FAULTS: tuple[Fault, ...] = (
    refusal(
        "an unknown device is the default one",
        AnyDevice,
        outcome(lambda s: s.backend.to_host(s.backend.to_device(ramp(2), "nowhere")).tolist()),
    ),
    Fault(
        "a dtype that is not declared is taken",
        "refusal",
        wrapped_by(Undeclared),
        outcome(_undeclared),
        ("test_errors",),
        X64,
    ),
    refusal(
        "half precision taken for single",
        HalfTaken,
        outcome(lambda s: str(s.backend.to_device(np.ones(2, "float16"), s.device).dtype)),
    ),
    refusal(
        "whole numbers of 64 bits taken for 32",
        LongTaken,
        outcome(lambda s: str(s.backend.to_device(np.ones(2, "int64"), s.device).dtype)),
    ),
    refusal("a native gradient that is not declared", SomeGradient, outcome(_gradient)),
    refusal("a limit of threads ends exceptions", Swallowing, outcome(_limited)),
    refusal("a limit of threads declared and refused", Unlimited, outcome(_limited)),
    refusal("a limit of threads outlives an exception", LimitedForGood, outcome(_limited)),
    refusal(
        "an executable that names another device",
        AnotherDevice,
        outcome(lambda s: s.compile(picked_rows()[0]).device in s.backend.devices()),
        "test_what_was_compiled",
    ),
    refusal(
        "an executable that names another function",
        AnotherFunction,
        outcome(lambda s: s.compile(picked_rows()[0]).function.digest == picked_rows()[0].digest),
        "test_what_was_compiled",
    ),
)
