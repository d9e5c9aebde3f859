"""Faults in what is refused: the kind of error, its words, what it leaves behind, and what is not refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import numpy as np

from isograd import graph as G
from isograd.backend import Array, Backend, Executable
from isograd.errors import ArgumentError, IsogradError, UnsupportedError
from isograd.graph import PRIMITIVES, Function
from isograd.graph.tensor import Tensor, rebuild
from isograd_conformance.checks import bytes_of
from isograd_conformance.faults.fault import Fault, Witness
from isograd_conformance.faults.witness import outcome, ramp
from isograd_conformance.faults.wrapping import Arrays, Hosted, HostedExecutable, Made, Wrapped, wrapped_by
from isograd_conformance.subject import HostArray, Subject


class KeyErrors(HostedExecutable):
    """Refuses with the errors of its own language."""

    def check(self, inputs: Arrays, state: Arrays) -> None:
        try:
            super().check(inputs, state)
        except IsogradError as error:
            raise KeyError(str(error)) from error


class NamelessErrors(HostedExecutable):
    """Refuses without saying what."""

    def check(self, inputs: Arrays, state: Arrays) -> None:
        try:
            super().check(inputs, state)
        except IsogradError as error:
            raise type(error)("the arguments do not fit the function") from error


class Mended(HostedExecutable):
    """Makes what it is given fit, where it should refuse it."""

    def __call__(self, inputs: Arrays, state: Arrays) -> Made:
        return super().__call__(
            self.mended(inputs, self.function.inputs), self.mended(state, self.function.state)
        )

    def mended(self, arrays: Arrays, variables: dict[str, Tensor]) -> dict[str, Any]:
        """Arrays that fit."""
        return {n: self.one(a, variables[n]) if n in variables else a for n, a in arrays.items()}

    def one(self, array: Any, variable: Tensor) -> Any:
        """One array that fits its variable."""
        return array


class IgnoringUnknown(Mended):
    def mended(self, arrays: Arrays, variables: dict[str, Tensor]) -> dict[str, Any]:
        return {name: array for name, array in arrays.items() if name in variables}


class FillingMissing(Mended):
    def mended(self, arrays: Arrays, variables: dict[str, Tensor]) -> dict[str, Any]:
        return {**{name: np.zeros(v.shape, v.dtype) for name, v in variables.items()}, **arrays}


class CastingSilently(Mended):
    def one(self, array: Any, variable: Tensor) -> Any:
        return array.astype(variable.dtype) if isinstance(array, np.ndarray) else array


class ReshapingSilently(Mended):
    def one(self, array: Any, variable: Tensor) -> Any:
        fits = isinstance(array, np.ndarray) and array.size == variable.size
        return array.reshape(variable.shape) if fits else array


class BroadcastingSilently(Mended):
    def one(self, array: Any, variable: Tensor) -> Any:
        with suppress(ValueError):
            return np.broadcast_to(array, variable.shape) if isinstance(array, np.ndarray) else array
        return array


class TakingLists(Mended):
    def one(self, array: Any, variable: Tensor) -> Any:
        return np.asarray(array, variable.dtype) if isinstance(array, list) else array


class _Indices(Mended):
    def mended(self, arrays: Arrays, variables: dict[str, Tensor]) -> dict[str, Any]:
        limits = self.function.index_limits
        return {n: self.index(a, limits[n]) if n in limits else a for n, a in arrays.items()}

    def index(self, array: Any, limit: int) -> Any:
        """Indices in their range."""
        raise NotImplementedError


class ClippingIndices(_Indices):
    def index(self, array: Any, limit: int) -> Any:
        return np.clip(array, 0, limit - 1)


class WrappingIndices(_Indices):
    def index(self, array: Any, limit: int) -> Any:
        return np.where(array < 0, array + limit, array).astype(array.dtype)


class SpoilingState(HostedExecutable):
    """Has begun to write the state when it refuses the inputs."""

    def check(self, inputs: Arrays, state: Arrays) -> None:
        try:
            super().check(inputs, state)
        except IsogradError:
            for array in state.values():
                if isinstance(array, np.ndarray) and array.flags.writeable:
                    array += array.dtype.type(1)
            raise


class Poisoned(HostedExecutable):
    """After a refusal the next call gives zeros."""

    def check(self, inputs: Arrays, state: Arrays) -> None:
        try:
            super().check(inputs, state)
        except IsogradError:
            self.__dict__["poisoned"] = True
            raise

    def compute(self, inputs: Arrays, state: Arrays) -> Made:
        made = super().compute(inputs, state)
        if not self.__dict__.pop("poisoned", False):
            return made
        return {n: a * 0 for n, a in made[0].items()}, made[1]


class SpoilingRuns(Hosted):
    """A run that refuses a later row has changed the state that it was given."""

    def run_steps(
        self, executable: Executable, state: Arrays, resident: Arrays, per_step: Arrays, steps: int
    ) -> Any:
        try:
            return super().run_steps(executable, state, resident, per_step, steps)
        except IsogradError:
            for array in state.values():
                if isinstance(array, np.ndarray) and array.flags.writeable:
                    array += array.dtype.type(1)
            raise


class OnlyTheFirstRow(Hosted):
    """Of the rows of indices only the first is checked."""

    def run_steps(
        self, executable: Executable, state: Arrays, resident: Arrays, per_step: Arrays, steps: int
    ) -> Any:
        limits = getattr(executable, "function", Function({}, {})).index_limits
        clipped = {
            n: np.concatenate([a[:1], np.clip(a[1:], 0, limits[n] - 1)]) if n in limits else a
            for n, a in per_step.items()
        }
        return super().run_steps(executable, state, resident, clipped, steps)


class NoSteps(Hosted):
    """A number of steps that is none counts as one."""

    def run_steps(
        self, executable: Executable, state: Arrays, resident: Arrays, per_step: Arrays, steps: int
    ) -> Any:
        few = not isinstance(steps, bool) and isinstance(steps, int) and steps < 1
        return super().run_steps(executable, state, resident, per_step, 1 if few else steps)


class TruthIsOne(Hosted):
    """True counts as one step."""

    def run_steps(
        self, executable: Executable, state: Arrays, resident: Arrays, per_step: Arrays, steps: int
    ) -> Any:
        return super().run_steps(
            executable, state, resident, per_step, int(steps) if isinstance(steps, bool) else steps
        )


class SurplusRows(Hosted):
    """Rows beyond the number of steps are ignored."""

    def run_steps(
        self, executable: Executable, state: Arrays, resident: Arrays, per_step: Arrays, steps: int
    ) -> Any:
        cut = isinstance(steps, int) and not isinstance(steps, bool) and steps > 0
        fewer = {n: a[:steps] if cut and np.ndim(a) else a for n, a in per_step.items()}
        return super().run_steps(executable, state, resident, fewer, steps)


class RowsWin(Hosted):
    """A name that is resident and has rows is taken from the rows."""

    def run_steps(
        self, executable: Executable, state: Arrays, resident: Arrays, per_step: Arrays, steps: int
    ) -> Any:
        lasting = {name: array for name, array in resident.items() if name not in per_step}
        return super().run_steps(executable, state, lasting, per_step, steps)


class RunningForeign(Hosted):
    """Runs whatever can be called."""

    def run_steps(
        self, executable: Executable, state: Arrays, resident: Arrays, per_step: Arrays, steps: int
    ) -> Any:
        return Backend.run_steps(self, executable, state, resident, per_step, steps)


class UnknownPrimitivePassed(Hosted):
    """A primitive that it does not know hands on its operand."""

    def lowered(self, function: Function) -> Function:
        known: dict[int, Tensor] = {}
        for node in function.nodes:
            operands = [known[id(x)] for x in node.inputs]
            strange = node.primitive not in _KNOWN
            known[id(node)] = operands[0] if strange else rebuild(node, operands)
        outputs = {name: known[id(t)] for name, t in function.outputs.items()}
        updates = {name: known[id(t)] for name, t in function.updates.items()}
        return Function(function.inputs, outputs, function.state, updates)


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


# As they are before a test adds one.
_KNOWN = frozenset({*PRIMITIVES, "variable", "constant"})


def _picked() -> tuple[Function, dict[str, Any], dict[str, Any]]:
    table, w = G.variable("table", (4, 2), "float32"), G.variable("w", (2, 2), "float32")
    rows = G.variable("rows", (2,), "int32")
    y = G.gather(table, rows)
    function = Function({"table": table, "rows": rows}, {"y": y}, {"w": w}, {"w": w + y})
    inputs = {"table": ramp(4, 2), "rows": np.asarray([0, 3], "int32")}
    return function, inputs, {"w": np.ones((2, 2), "float32")}


def called(**changed: Any) -> Witness:
    """What comes of a call with some arrays exchanged, and of a right call after it."""

    def act(seen: Subject) -> object:
        function, inputs, state = _picked()
        executable = seen.compile(function)
        wrong = {**seen.send({**inputs, **state}), **changed}
        wrong = {name: array for name, array in wrong.items() if array is not None}
        given = {n: a for n, a in wrong.items() if n != "w"}, {n: a for n, a in wrong.items() if n == "w"}
        try:
            first: object = bytes_of(seen.fetch(executable(*given)[0]))
        except Exception as error:
            first = type(error).__name__, *(name for name in wrong if name in str(error))
        return first, bytes_of(seen.fetch(given[1])), bytes_of(seen.call(executable, inputs, state).outputs)

    return outcome(act)


def ran(steps: Any = 2, rows: int = 2, resident: bool = False, bad: bool = False) -> Witness:
    """What comes of a run of steps, and what it leaves of the state."""

    def act(seen: Subject) -> object:
        function, inputs, state = _picked()
        indices = np.stack([inputs["rows"]] * rows)
        indices[-1] += 3 if bad else 0
        lasting = {"table": inputs["table"], **({"rows": inputs["rows"]} if resident else {})}
        given = seen.send(state)
        try:
            outputs, _ = seen.backend.run_steps(
                seen.compile(function), given, seen.send(lasting), seen.send({"rows": indices}), steps
            )
            found: object = bytes_of(outputs)
        except (ArgumentError, IndexError) as error:
            found = type(error).__name__
        return found, bytes_of(seen.fetch(given))

    return outcome(act)


def _foreign(seen: Subject) -> object:
    class Foreign:
        function, device = _picked()[0], seen.device

        def __call__(self, inputs: Arrays, state: Arrays) -> Made:
            return {"y": np.ones(2, "float32")}, dict(state)

    _, inputs, state = _picked()
    return bytes_of(seen.backend.run_steps(Foreign(), seen.send(state), seen.send(inputs), {}, 1)[0])


def _unknown(seen: Subject) -> object:
    x = G.variable("x", (2,), "float32")
    return seen.compile(
        Function({"x": x}, {"y": Tensor("fourier_transform", (x,), (2,), "float32", {})})
    ).device


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


def refusal(name: str, kind: type[HostedExecutable] | type[Backend], witness: Witness, *likely: str) -> Fault:
    """A fault of executables, or of a backend."""
    if issubclass(kind, HostedExecutable):
        return Fault(
            name, "refusal", wrapped_by(lambda b: Hosted(b, kind)), witness, likely or ("test_errors",)
        )
    return Fault(name, "refusal", wrapped_by(kind), witness, likely or ("test_errors",))


DOUBLE, WRONG = np.ones((4, 2)), np.ones((2, 4), "float32")
X64 = frozenset({"float32", "float64"})

FAULTS: tuple[Fault, ...] = (
    refusal("errors of another kind", KeyErrors, called(table=None)),
    refusal("errors without a name", NamelessErrors, called(table=None)),
    refusal("unknown inputs ignored", IgnoringUnknown, called(other=ramp(2))),
    refusal("missing inputs are zeros", FillingMissing, called(table=None)),
    refusal("another dtype cast silently", CastingSilently, called(table=np.ones((4, 2), "int32"))),
    refusal("another shape of as many elements taken", ReshapingSilently, called(table=WRONG)),
    refusal("another shape broadcast silently", BroadcastingSilently, called(table=np.ones(2, "float32"))),
    refusal("lists taken for arrays", TakingLists, called(table=[[1.0, 2.0]] * 4)),
    refusal("indices out of range clipped", ClippingIndices, called(rows=np.asarray([0, 4], "int32"))),
    refusal(
        "negative indices count from the end", WrappingIndices, called(rows=np.asarray([0, -1], "int32"))
    ),
    refusal("a call that is refused has changed the state", SpoilingState, called(table=None)),
    refusal("the call after a refused one is wrong", Poisoned, called(table=None)),
    refusal("a run that is refused has changed the state", SpoilingRuns, ran(bad=True)),
    refusal("only the first row of indices checked", OnlyTheFirstRow, ran(bad=True)),
    refusal("no steps count as one", NoSteps, ran(0, rows=1)),
    refusal("True counts as one step", TruthIsOne, ran(True, rows=1)),
    refusal("surplus rows ignored", SurplusRows, ran(rows=3)),
    refusal("rows preferred to resident data of the same name", RowsWin, ran(resident=True)),
    refusal("an executable of another backend is run", RunningForeign, outcome(_foreign)),
    refusal("an unknown primitive hands on its operand", UnknownPrimitivePassed, outcome(_unknown)),
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
        outcome(lambda s: s.compile(_picked()[0]).device in s.backend.devices()),
        "test_what_was_compiled",
    ),
    refusal(
        "an executable that names another function",
        AnotherFunction,
        outcome(lambda s: s.compile(_picked()[0]).function.digest == _picked()[0].digest),
        "test_what_was_compiled",
    ),
)
