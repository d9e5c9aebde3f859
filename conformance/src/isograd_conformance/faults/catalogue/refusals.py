"""Faults in what is refused: the kind of error, its words, what it leaves behind, and what is not refused."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np

from isograd import graph as G
from isograd.backend import Backend, Executable
from isograd.errors import ArgumentError, IsogradError
from isograd.graph import PRIMITIVES, Function
from isograd.graph.tensor import Tensor, rebuild
from isograd_conformance.checks import bytes_of
from isograd_conformance.faults.fault import Fault, Witness
from isograd_conformance.faults.rewriting import rebuilt
from isograd_conformance.faults.witness import outcome, picked_rows, ramp
from isograd_conformance.faults.wrapping import Arrays, Hosted, HostedExecutable, Made, wrapped_by
from isograd_conformance.subject import Subject


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
        return rebuilt(
            function,
            lambda node, operands: rebuild(node, operands) if node.primitive in _KNOWN else operands[0],
        )


# As they are before a test adds one.
_KNOWN = frozenset({*PRIMITIVES, "variable", "constant"})


def called(**changed: Any) -> Witness:
    """What comes of a call with some arrays exchanged, and of a right call after it."""

    def act(seen: Subject) -> object:
        function, inputs, state = picked_rows()
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
        function, inputs, state = picked_rows()
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
        function, device = picked_rows()[0], seen.device

        def __call__(self, inputs: Arrays, state: Arrays) -> Made:
            return {"y": np.ones(2, "float32")}, dict(state)

    _, inputs, state = picked_rows()
    return bytes_of(seen.backend.run_steps(Foreign(), seen.send(state), seen.send(inputs), {}, 1)[0])


def _unknown(seen: Subject) -> object:
    x = G.variable("x", (2,), "float32")
    return seen.compile(
        Function({"x": x}, {"y": Tensor("fourier_transform", (x,), (2,), "float32", {})})
    ).device


def refusal(name: str, kind: type[HostedExecutable] | type[Backend], witness: Witness, *likely: str) -> Fault:
    """A fault of executables, or of a backend."""
    if issubclass(kind, HostedExecutable):
        return Fault(
            name, "refusal", wrapped_by(lambda b: Hosted(b, kind)), witness, likely or ("test_errors",)
        )
    return Fault(name, "refusal", wrapped_by(kind), witness, likely or ("test_errors",))


DOUBLE, WRONG = np.ones((4, 2)), np.ones((2, 4), "float32")

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
)
