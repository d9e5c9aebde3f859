"""Faults in runs of steps: rows, state and results that belong to another step."""

from __future__ import annotations

from typing import Any

import numpy as np

from isograd import graph as G
from isograd.backend import Array, Backend, Executable
from isograd.graph import Function
from isograd_conformance.checks import bytes_of
from isograd_conformance.faults.fault import Fault, Witness
from isograd_conformance.faults.witness import ramp, run_of_steps, subject
from isograd_conformance.faults.wrapping import Arrays, Hosted, wrapped_by
from isograd_conformance.subject import HostArray

Stacked = tuple[dict[str, HostArray], dict[str, Array]]


class Stepping(Hosted):
    """Runs of steps with one thing changed before the run and one after it."""

    def run_steps(
        self, executable: Executable, state: Arrays, resident: Arrays, per_step: Arrays, steps: int
    ) -> Stacked:
        given = {name: self.rows(array, steps) for name, array in per_step.items()}
        return self.made(*super().run_steps(executable, state, resident, given, steps))

    def rows(self, array: Array, steps: int) -> Array:
        """What the steps are given of the rows."""
        return array

    def made(self, outputs: dict[str, HostArray], state: dict[str, Array]) -> Stacked:
        """What is returned."""
        return outputs, state


class RowsOffByOne(Stepping):
    def rows(self, array: Array, steps: int) -> Array:
        return np.roll(array, -1, axis=0) if np.shape(array)[:1] == (steps,) else array


class FirstRowAlways(Stepping):
    def rows(self, array: Array, steps: int) -> Array:
        return np.repeat(array[:1], steps, axis=0) if np.shape(array)[:1] == (steps,) else array


class OutputsReversed(Stepping):
    def made(self, outputs: dict[str, HostArray], state: dict[str, Array]) -> Stacked:
        return {name: array[::-1].copy() for name, array in outputs.items()}, state


class LastOutputRepeated(Stepping):
    def made(self, outputs: dict[str, HostArray], state: dict[str, Array]) -> Stacked:
        return {name: np.repeat(array[-1:], len(array), axis=0) for name, array in outputs.items()}, state


class LastStepDropped(Hosted):
    """Runs one step less than asked for, and gives its outputs twice."""

    def run_steps(
        self, executable: Executable, state: Arrays, resident: Arrays, per_step: Arrays, steps: int
    ) -> Stacked:
        if not isinstance(steps, int) or steps < 2 or any(len(a) != steps for a in per_step.values()):
            return super().run_steps(executable, state, resident, per_step, steps)
        fewer = {name: array[:-1] for name, array in per_step.items()}
        outputs, new = super().run_steps(executable, state, resident, fewer, steps - 1)
        return {name: np.concatenate([a, a[-1:]]) for name, a in outputs.items()}, new


class StateNotCarried(Hosted):
    """Every step begins from the state that was given."""

    def run_steps(
        self, executable: Executable, state: Arrays, resident: Arrays, per_step: Arrays, steps: int
    ) -> Stacked:
        whole = super().run_steps(executable, state, resident, per_step, steps)
        parts = []
        new = whole[1]
        for i in range(steps):
            row = {name: array[i : i + 1] for name, array in per_step.items()}
            outputs, new = super().run_steps(executable, state, resident, row, 1)
            parts.append(outputs)
        return {name: np.concatenate([part[name] for part in parts]) for name in whole[0]}, new


class StateBeforeTheLastStep(Hosted):
    """Hands back the state that the last step began from."""

    def run_steps(
        self, executable: Executable, state: Arrays, resident: Arrays, per_step: Arrays, steps: int
    ) -> Stacked:
        outputs, new = super().run_steps(executable, state, resident, per_step, steps)
        if steps < 2:
            return outputs, new
        fewer = {name: array[:-1] for name, array in per_step.items()}
        return outputs, super().run_steps(executable, state, resident, fewer, steps - 1)[1]


class UnrolledByTwo(Hosted):
    """Steps in pairs; an odd last one is computed, but its state is forgotten."""

    def run_steps(
        self, executable: Executable, state: Arrays, resident: Arrays, per_step: Arrays, steps: int
    ) -> Stacked:
        outputs, new = super().run_steps(executable, state, resident, per_step, steps)
        if steps < 3 or steps % 2 == 0:
            return outputs, new
        even = {name: array[:-1] for name, array in per_step.items()}
        return outputs, super().run_steps(executable, state, resident, even, steps - 1)[1]


class WholeBlocksOfSteps(Hosted):
    """Steps in blocks of 32; of a long run the remainder leaves no state."""

    def run_steps(
        self, executable: Executable, state: Arrays, resident: Arrays, per_step: Arrays, steps: int
    ) -> Stacked:
        outputs, new = super().run_steps(executable, state, resident, per_step, steps)
        whole = steps // 32 * 32
        if steps == whole or steps < 32:
            return outputs, new
        rows = {name: array[:whole] for name, array in per_step.items()}
        return outputs, super().run_steps(executable, state, resident, rows, whole)[1]


class StateInPlace(Hosted):
    """The run writes its state into the arrays that were given."""

    def run_steps(
        self, executable: Executable, state: Arrays, resident: Arrays, per_step: Arrays, steps: int
    ) -> Stacked:
        outputs, new = super().run_steps(executable, state, resident, per_step, steps)
        for name, array in state.items():
            if array.flags.writeable:
                np.copyto(array, new[name])
        return outputs, new


class StateOfTheLastRun(Hosted):
    """A run goes on from where the last run of the executable ended."""

    def run_steps(
        self, executable: Executable, state: Arrays, resident: Arrays, per_step: Arrays, steps: int
    ) -> Stacked:
        held: dict[int, tuple[Executable, dict[str, Array]]] = self.__dict__.setdefault("held", {})
        begin = held.get(id(executable), (executable, dict(state)))[1]
        outputs, new = super().run_steps(executable, begin, resident, per_step, steps)
        held[id(executable)] = executable, {name: array.copy() for name, array in new.items()}
        return outputs, new


class RunsReusing(Hosted):
    """The outputs of a run lie in memory that the next run uses again."""

    def run_steps(
        self, executable: Executable, state: Arrays, resident: Arrays, per_step: Arrays, steps: int
    ) -> Stacked:
        outputs, new = super().run_steps(executable, state, resident, per_step, steps)
        held: dict[Any, HostArray] = self.__dict__.setdefault("held", {})
        for name, array in outputs.items():
            memory = held.setdefault((name, array.shape, array.dtype), np.empty_like(array))
            np.copyto(memory, array)
            outputs[name] = memory
        return outputs, new


class RunsReusingState(Hosted):
    """The state after a run lies in memory that the next run uses again."""

    def run_steps(
        self, executable: Executable, state: Arrays, resident: Arrays, per_step: Arrays, steps: int
    ) -> Stacked:
        outputs, new = super().run_steps(executable, state, resident, per_step, steps)
        held: dict[Any, HostArray] = self.__dict__.setdefault("held", {})
        for name, array in new.items():
            memory = held.setdefault((name, array.shape, array.dtype), np.empty_like(array))
            np.copyto(memory, array)
            new[name] = memory
        return outputs, new


class StaleResident(Hosted):
    """Resident data of the first run serve every later run of their names and shapes."""

    def run_steps(
        self, executable: Executable, state: Arrays, resident: Arrays, per_step: Arrays, steps: int
    ) -> Stacked:
        held: dict[Any, HostArray] = self.__dict__.setdefault("held", {})
        kept = {n: held.setdefault((n, np.shape(a), str(a.dtype)), a) for n, a in resident.items()}
        return super().run_steps(executable, state, kept, per_step, steps)


class ResidentScaled(Hosted):
    """Resident data are scaled where they lie, by every run anew."""

    def run_steps(
        self, executable: Executable, state: Arrays, resident: Arrays, per_step: Arrays, steps: int
    ) -> Stacked:
        made = super().run_steps(executable, state, resident, per_step, steps)
        for array in resident.values():
            if array.flags.writeable and array.dtype.kind == "f":
                array *= 0.5
        return made


def _two_runs(backend: Backend) -> object:
    """Everything that two runs of one executable were given and gave, looked at after the second."""
    seen = subject(backend)
    x, data, w = (G.variable(name, (2,), "float32") for name in ("x", "data", "w"))
    function = Function({"x": x, "data": data}, {"y": w * x + data}, {"w": w}, {"w": w + x * data})
    executable, kept = seen.compile(function), []
    for number in (1, 2):
        arrays = {"w": np.asarray([1, 2], "float32")}, {"data": np.asarray([number, -1], "float32")}
        state, resident = map(seen.send, arrays)
        rows = seen.send({"x": ramp(3, 2) * number})
        outputs, new = backend.run_steps(executable, state, resident, rows, 3)
        kept += [outputs, state, resident, new]
    return [bytes_of({n: np.array(backend.to_host(a)) for n, a in part.items()}) for part in kept]


def steps(kind: type[Hosted], name: str, likely: str, witness: Witness) -> Fault:
    """A fault of `run_steps`."""
    return Fault(name, "steps", wrapped_by(kind), witness, (likely,))


_RUN, _CUT, _FORM = run_of_steps(), "test_steps_are_calls", "test_each_step_of_a_run"

FAULTS: tuple[Fault, ...] = (
    steps(RowsOffByOne, "rows of the next step", _FORM, _RUN),
    steps(FirstRowAlways, "the first row at every step", _FORM, _RUN),
    steps(OutputsReversed, "outputs of a run in reverse", _FORM, _RUN),
    steps(LastOutputRepeated, "outputs of the last step for all", _FORM, _RUN),
    steps(LastStepDropped, "the last step of a run dropped", _FORM, _RUN),
    steps(StateNotCarried, "every step of a run begins from the given state", _FORM, _RUN),
    steps(StateBeforeTheLastStep, "a run returns the state before its last step", _FORM, _RUN),
    steps(UnrolledByTwo, "an odd last step leaves no state", _FORM, _RUN),
    steps(WholeBlocksOfSteps, "a long run loses the state of its remainder", "long_run", run_of_steps(35)),
    steps(StateInPlace, "a run writes its state into what was given", _FORM, _two_runs),
    steps(StateOfTheLastRun, "a run goes on from where the last one ended", _FORM, _two_runs),
    steps(RunsReusing, "outputs of a run in memory that the next run uses again", "outlive", _two_runs),
    steps(RunsReusingState, "state of a run in memory that the next run uses again", "outlive", _two_runs),
    steps(StaleResident, "resident data of an earlier run", "test_resident", _two_runs),
    steps(ResidentScaled, "resident data scaled where they lie", _CUT, _two_runs),
)
