"""Faults in executables: memory that is shared, kept or written to."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, get_ident
from typing import Any

import numpy as np

from isograd import graph as G
from isograd.backend import Backend
from isograd.graph import Function
from isograd_conformance.checks import bytes_of
from isograd_conformance.faults.fault import Fault, Witness
from isograd_conformance.faults.witness import applied_to, calls, ramp, subject
from isograd_conformance.faults.wrapping import Arrays, Hosted, HostedExecutable, Made, wrapped_by
from isograd_conformance.interruption import Calls
from isograd_conformance.subject import HostArray


def _writeable(arrays: Iterable[HostArray]) -> list[HostArray]:
    return [a for a in arrays if a.flags.writeable and a.dtype.kind == "f"]


class Mutating(HostedExecutable):
    """Uses the first input as scratch memory."""

    def compute(self, inputs: Arrays, state: Arrays) -> Made:
        made = super().compute(inputs, state)
        for array in _writeable(inputs.values())[:1]:
            array *= 0.5
        return made


class InPlace(HostedExecutable):
    """Writes the new state into the old one."""

    def compute(self, inputs: Arrays, state: Arrays) -> Made:
        outputs, new = super().compute(inputs, state)
        for name, array in state.items():
            if array.flags.writeable:
                np.copyto(array, new[name])
        return outputs, new


class Reusing(HostedExecutable):
    """Hands out the same memory for its outputs at every call."""

    part = 0

    def compute(self, inputs: Arrays, state: Arrays) -> Made:
        made = super().compute(inputs, state)
        held: dict[str, HostArray] = self.__dict__.setdefault("held", {})
        for name, array in made[self.part].items():
            np.copyto(held.setdefault(name, np.empty_like(array)), array)
            made[self.part][name] = held[name]
        return made


class ReusingState(Reusing):
    """Hands out the same memory for its new state at every call."""

    part = 1


class Remembering(HostedExecutable):
    """Goes on from the state of its own last call, whatever is given."""

    def compute(self, inputs: Arrays, state: Arrays) -> Made:
        made = super().compute(inputs, self.__dict__.get("state", state))
        self.__dict__["state"] = {name: array.copy() for name, array in made[1].items()}
        return made


class Accumulating(HostedExecutable):
    """A buffer that is not cleared: each call adds a little of the last one's outputs."""

    def compute(self, inputs: Arrays, state: Arrays) -> Made:
        outputs, new = super().compute(inputs, state)
        last = self.__dict__.get("last", {})
        self.__dict__["last"] = {n: a.copy() for n, a in outputs.items()}
        for name, array in outputs.items():
            if array.dtype.kind == "f" and name in last:
                array += np.nan_to_num(last[name]) * array.dtype.type(2.0**-10)
        return outputs, new


class Unstable(HostedExecutable):
    """Says that it is deterministic, and is a last bit off at every second call."""

    def compute(self, inputs: Arrays, state: Arrays) -> Made:
        made = super().compute(inputs, state)
        self.__dict__["calls"] = count = self.__dict__.get("calls", 0) + 1
        for part in made:
            for name, array in part.items():
                if array.dtype.kind == "f" and count % 2 == 0:
                    part[name] = np.nextafter(array, array.dtype.type(0))
        return made


class Unlocked(HostedExecutable):
    """Copies what it is given into scratch memory that all threads share."""

    def compute(self, inputs: Arrays, state: Arrays) -> Made:
        self.__dict__["scratch"] = dict(inputs), dict(state)
        time.sleep(0)  # as where a kernel lets other threads run
        return super().compute(*self.__dict__["scratch"])


class UnlockedOutputs(HostedExecutable):
    """Keeps its results where another thread overwrites them before they are returned."""

    def compute(self, inputs: Arrays, state: Arrays) -> Made:
        self.__dict__["results"] = super().compute(inputs, state)
        time.sleep(0)
        results: Made = self.__dict__["results"]
        return dict(results[0]), dict(results[1])


class Stale(HostedExecutable):
    """Keeps an input on the device under a key, and takes it from there ever after."""

    def key(self, name: str, array: HostArray) -> Any:
        """What the fault takes to be the same array."""
        raise NotImplementedError

    def compute(self, inputs: Arrays, state: Arrays) -> Made:
        held: dict[Any, HostArray] = self.__dict__.setdefault("held", {})
        large = {name: a for name, a in inputs.items() if a.size > 100}
        kept = {name: held.setdefault(self.key(name, a), a.copy()) for name, a in large.items()}
        return super().compute({**inputs, **kept}, state)


class StaleByName(Stale):
    """A data set of another run is taken for the first one's."""

    def key(self, name: str, array: HostArray) -> Any:
        return name


class StaleByPlace(Stale):
    """A data set that lies where a freed one lay is taken for that."""

    def key(self, name: str, array: HostArray) -> Any:
        return name, array.ctypes.data


class Aborted(HostedExecutable):
    """A call that is interrupted leaves zeros for the state of the next one in its thread."""

    def compute(self, inputs: Arrays, state: Arrays) -> Made:
        unfinished: dict[int, Arrays] = self.__dict__.setdefault("unfinished", {})
        begin = unfinished.pop(get_ident(), state)
        unfinished[get_ident()] = {name: array * 0 for name, array in state.items()}
        made = super().compute(inputs, begin)
        del unfinished[get_ident()]
        return made


class Widened(HostedExecutable):
    """Outputs come back in double precision."""

    def compute(self, inputs: Arrays, state: Arrays) -> Made:
        outputs, new = super().compute(inputs, state)
        wide = {n: a.astype("float64") if a.dtype == "float32" else a for n, a in outputs.items()}
        return wide, new


class WithoutAxes(HostedExecutable):
    """A result without axes comes back with one."""

    def compute(self, inputs: Arrays, state: Arrays) -> Made:
        outputs, new = super().compute(inputs, state)
        return {name: np.atleast_1d(array) for name, array in outputs.items()}, new


class StateDropped(HostedExecutable):
    """A state without an update is not handed on."""

    def compute(self, inputs: Arrays, state: Arrays) -> Made:
        outputs, new = super().compute(inputs, state)
        return outputs, {name: new[name] for name in self.function.updates}


def hosted(kind: type[HostedExecutable], name: str, witness: Witness, *likely: str) -> Fault:
    """A fault of the executables."""
    return Fault(name, "execution", wrapped_by(lambda b: Hosted(b, kind)), witness, likely)


def backend(kind: type[Hosted], name: str, witness: Witness, *likely: str) -> Fault:
    """A fault of what is compiled."""
    return Fault(name, "execution", wrapped_by(kind), witness, likely)


def _names_and_kinds(backend: Backend) -> object:
    """Names, shapes and dtypes of the results of a call."""
    seen = subject(backend)
    x, w, v = (G.variable(name, (2,), "float32") for name in "xwv")
    function = Function({"x": x}, {"y": x.sum(), "z": x}, {"w": w, "v": v}, {"w": w + x})
    found = seen.call(seen.compile(function), {"x": ramp(2)}, {"w": ramp(2), "v": ramp(2)})
    return [{n: (a.shape, a.dtype.name) for n, a in part.items()} for part in found]


def _data_sets(places: int) -> Witness:
    """Rows of data sets, the later ones in memory of the earlier."""

    def look(backend: Backend) -> object:
        seen = subject(backend)
        function, _ = applied_to(lambda data: data[:2], np.zeros((200, 2), "float32"))
        executable, found = seen.compile(function), []
        memory = np.zeros((places, 200, 2), "float32")
        for number in range(3):
            memory[number % places] = number
            found.append(bytes_of(seen.call(executable, {"x0": memory[number % places]}).outputs))
        return found

    return look


def _interrupted(backend: Backend) -> object:
    """The result after a call that did not come to its end."""
    seen = subject(backend)
    x, w = (G.variable(name, (2,), "float32") for name in "xw")
    executable = seen.compile(Function({"x": x}, {"y": x * w}, {"w": w}, {"w": w + x}))
    inputs, state = {"x": ramp(2)}, {"w": np.asarray([1, 2], "float32")}
    seen.call(executable, inputs, state)  # what is made when first used is not counted
    with Calls() as calls:
        seen.call(executable, inputs, state)
    try:
        with Calls(calls.count // 2):
            seen.call(executable, inputs, state)
    except KeyboardInterrupt:
        found = seen.call(executable, inputs, state)
        return bytes_of({**found.outputs, **found.state})
    raise AssertionError("the call was not interrupted")


def _threads(backend: Backend) -> object:
    """Whether two threads get what each gets alone."""
    seen = subject(backend)
    function, _ = applied_to(lambda x: x * 3 + x.sum(), np.zeros(4, "float32"))
    executable, barrier = seen.compile(function), Barrier(2)

    def work(number: int) -> bool:
        arrays = {"x0": np.full(4, number, "float32")}
        barrier.wait()
        return all(
            (seen.call(executable, arrays).outputs["y"] == np.float32(7 * number)).all() for _ in range(300)
        )

    with ThreadPoolExecutor(2) as pool:
        return all(pool.map(work, (1, 2)))


_TWICE = calls([1, 2], [3, 4])
_AGAIN = calls([1, 2], [1, 2])

FAULTS: tuple[Fault, ...] = (
    hosted(Mutating, "an input is used as scratch memory", _TWICE, "test_a_function_is"),
    hosted(InPlace, "the new state is written into the old one", _TWICE, "test_updates_come"),
    hosted(Reusing, "outputs in memory that the next call uses again", _TWICE, "test_a_function_is"),
    hosted(ReusingState, "new state in memory that the next call uses again", _TWICE, "test_a_function_is"),
    hosted(Remembering, "an executable goes on from its own last state", _TWICE, "test_a_function_is"),
    hosted(Accumulating, "a buffer that is not cleared between calls", _AGAIN, "test_a_function_is"),
    hosted(Unstable, "declared deterministic, but a last bit changes", _AGAIN, "test_a_function_is"),
    hosted(Unlocked, "scratch memory for inputs shared by threads", _threads, "test_threads"),
    hosted(UnlockedOutputs, "scratch memory for results shared by threads", _threads, "test_threads"),
    hosted(StaleByName, "resident data told apart by name", _data_sets(3), "test_resident"),
    hosted(StaleByPlace, "resident data told apart by place in memory", _data_sets(1), "test_resident"),
    hosted(Aborted, "an interrupted call leaves its state behind", _interrupted, "test_an_interrupted"),
    hosted(Widened, "outputs in double precision", _AGAIN, "test_a_function_is"),
    hosted(WithoutAxes, "a result without axes gets one", _names_and_kinds, "test_a_function_is"),
    hosted(
        StateDropped, "a state without an update is not handed on", _names_and_kinds, "test_a_function_is"
    ),
)
