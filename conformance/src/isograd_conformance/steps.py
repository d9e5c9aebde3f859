"""The check of a run of steps: each judged from the state that it saw, so that the bound is one step deep."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from isograd.backend import Executable
from isograd.graph import Function
from isograd_conformance.checks import assert_same_bits, bytes_of, hold, stacked
from isograd_conformance.subject import HostArray, HostArrays, Results, Subject

BEFORE = "before/"


def watched(function: Function) -> Function:
    """The function with its state as further outputs, so that each step of a run shows what it began from."""
    before = {BEFORE + name: variable for name, variable in function.state.items()}
    return Function(function.inputs, {**function.outputs, **before}, function.state, function.updates)


def check_steps(
    subject: Subject,
    function: Function,
    rows: Sequence[HostArrays],
    start: HostArrays,
    lasting: Collection[str] = (),
    cut: int = 0,
) -> None:
    """Run steps in one chunk and in two; each is right, and no bit depends on the cut where that is promised.

    Parameters
    ----------
    subject : Subject
    function : Function
    rows : sequence of mapping of name to ndarray
        The inputs of each step.
    start : mapping of name to ndarray
        The state before the first.
    lasting : collection of str
        Inputs that are the first row's at every step and given as resident.
    cut : int
        Where the chunks are parted; none at 0 or beyond the last step.

    Raises
    ------
    AssertionError
        If a step is not what the reference says of the state that it began from, something given has changed,
        or bits differ that the backend's capabilities promise to be the same.
    """
    executable = subject.compile(watched(function))
    resident = {name: rows[0][name] for name in lasting}
    held = bytes_of(start)
    whole = run_cut(subject, executable, rows, start, resident, [len(rows)])
    assert bytes_of(start) == held, "the state that was given has changed"
    hold_each(subject, executable.function, rows, start, resident, whole)
    parts = [n for n in (cut, len(rows) - cut) if 0 < n < len(rows)]
    if parts:
        in_parts = run_cut(subject, executable, rows, start, resident, parts)
        if subject.capabilities.deterministic:
            assert_same_bits(in_parts, whole)
        hold_each(subject, executable.function, rows, start, resident, in_parts)
    if subject.reproducible:
        assert_same_bits(call_chain(subject, executable, rows, start, resident), whole)


def run_cut(
    subject: Subject,
    executable: Executable,
    rows: Sequence[HostArrays],
    start: HostArrays,
    resident: HostArrays,
    chunks: Sequence[int],
) -> Results:
    """The steps in chunks of these lengths, the state handed on from one to the next."""
    state: dict[str, HostArray] = dict(start)
    outputs: list[dict[str, HostArray]] = []
    first = 0
    for length in chunks:
        part = rows[first : first + length]
        per_step = {
            name: np.stack([row[name] for row in part])
            for name in executable.function.inputs
            if name not in resident
        }
        made, state = subject.run_steps(executable, state, resident, per_step, length)
        outputs.append(made)
        first += length
    return Results({name: np.concatenate([made[name] for made in outputs]) for name in outputs[0]}, state)


def call_chain(
    subject: Subject,
    executable: Executable,
    rows: Sequence[HostArrays],
    start: HostArrays,
    resident: HostArrays,
) -> Results:
    """The same steps as calls, one after another."""
    results: list[Results] = []
    state = start
    for row in rows:
        results.append(subject.call(executable, {**row, **resident}, state))
        state = results[-1].state
    return stacked(results)


def hold_each(
    subject: Subject,
    function: Function,
    rows: Sequence[HostArrays],
    start: HostArrays,
    resident: HostArrays,
    found: Results,
) -> None:
    """Judge each step of a `watched` function from the state that its outputs show."""
    for step, row in enumerate(rows):
        outputs = {name: values[step] for name, values in found.outputs.items()}
        before = {name: outputs[BEFORE + name] for name in start}
        if step == 0:
            assert bytes_of(before) == bytes_of(start), "the first step did not begin from the given state"
        last = step + 1 == len(rows)
        after = found.state if last else {n: found.outputs[BEFORE + n][step + 1] for n in start}
        hold(subject, function, Results(outputs, dict(after)), {**row, **resident}, before)
