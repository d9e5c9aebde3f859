"""The checks that the tests are made of: a function on a backend against the reference, within the bound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest

from isograd.backend import Executable
from isograd.graph import Function, Tensor
from isograd_conformance.bounds import DisagreementError, Judgement, agree, judge
from isograd_conformance.subject import HostArray, HostArrays, Results, Subject


class Checked(NamedTuple):
    """An executable and what one call of it gave, which has been held to the reference."""

    executable: Executable
    outputs: dict[str, HostArray]
    state: dict[str, HostArray]


def check(
    subject: Subject, function: Function, inputs: HostArrays, state: HostArrays | None = None
) -> Checked:
    """Compile and call twice: right within the bound, nothing given is changed, the same bits where promised.

    Parameters
    ----------
    subject : Subject
    function : Function
    inputs, state : mapping of name to ndarray
        On the host.

    Raises
    ------
    AssertionError
        If an output or a new state is not what the reference says, or a promise above is broken.
    """
    return check_executable(subject, subject.compile(function), inputs, state)


def check_executable(
    subject: Subject, executable: Executable, inputs: HostArrays, state: HostArrays | None = None
) -> Checked:
    """As `check`, of what is compiled already."""
    state = state or {}
    function = executable.function
    held = bytes_of({**inputs, **state})
    given, before = subject.send(inputs), subject.send(state)
    runs = []
    for _ in range(2):
        outputs, new = executable(given, before)
        runs.append(Results(subject.fetch(outputs), subject.fetch(new)))
    assert bytes_of({**inputs, **state}) == held, "the host arrays that were given have changed"
    assert bytes_of({**subject.fetch(given), **subject.fetch(before)}) == held, "what was given has changed"
    hold(subject, function, runs[0], inputs, state)
    if subject.capabilities.deterministic:
        assert_same_bits(runs[0], runs[1])
    else:
        hold(subject, function, runs[1], inputs, state)
    return Checked(executable, *runs[0])


def hold(
    subject: Subject, function: Function, results: Results, inputs: HostArrays, state: HostArrays
) -> None:
    """Fail unless outputs and new state are within twice the bound of the reference."""
    wanted, found = named(function, results)
    try:
        agree(found, wanted, {**inputs, **state}, subject.arithmetic)
    except DisagreementError as error:
        error.subject, error.function = subject, function
        raise


def judge_call(
    subject: Subject, function: Function, inputs: HostArrays, state: HostArrays
) -> list[Judgement]:
    """Compile and call a function, and hold each output and new state to its bound."""
    wanted, found = named(function, subject.call(subject.compile(function), inputs, state))
    return judge(found, wanted, {**inputs, **state}, subject.arithmetic)


def named(function: Function, results: Results) -> tuple[dict[str, Tensor], dict[str, HostArray]]:
    """What a function's results are defined to be and what they are, as "output NAME" and "state NAME"."""
    wanted = {f"output {name}": t for name, t in function.outputs.items()}
    wanted |= {f"state {name}": t for name, t in {**function.state, **function.updates}.items()}
    found = {f"output {name}": results.outputs[name] for name in results.outputs}
    found |= {f"state {name}": results.state[name] for name in results.state}
    return wanted, found


def same(subject: Subject, a: Results, b: Results) -> None:
    """Fail where two results of one computation differ in a bit, if the backend promises that they do not."""
    if subject.capabilities.deterministic:
        assert_same_bits(a, b)


def assert_same_bits(a: Results, b: Results) -> None:
    """Fail unless names, shapes, dtypes and bytes are the same."""
    for kind in Results._fields:
        first, second = getattr(a, kind), getattr(b, kind)
        assert first.keys() == second.keys()
        for name in first:
            x, y = first[name], second[name]
            assert (x.shape, x.dtype) == (y.shape, y.dtype), f"{kind}: {name}"
            assert x.tobytes() == y.tobytes(), f"{kind}: {name} differs: {_difference(x, y)}"


def _difference(x: HostArray, y: HostArray) -> str:
    differs = ~((x == y) | ((x != x) & (y != y)))
    at = np.argwhere(differs)[:3].tolist()
    return f"at {at}: {x[differs][:3]} and {y[differs][:3]}" if at else "in the sign of a zero or NaN"


def bytes_of(arrays: HostArrays) -> dict[str, bytes]:
    """The contents of arrays, to be compared with those of later."""
    return {name: array.tobytes() for name, array in arrays.items()}


def stacked(rows: Sequence[Results]) -> Results:
    """The results of calls one after another, as a run of steps gives them."""
    outputs = {name: np.stack([row.outputs[name] for row in rows]) for name in rows[0].outputs}
    return Results(outputs, rows[-1].state)


def require(subject: Subject, *dtypes: str) -> None:
    """Skip a test that needs dtypes which the backend does not declare."""
    missing = sorted(set(dtypes) - subject.capabilities.dtypes)
    if missing:
        pytest.skip(f"{subject.specification} does not declare {', '.join(missing)}")


def without_subnormals(subject: Subject, array: HostArray) -> HostArray:
    """The array, with what is subnormal or a zero of either sign as 0 where the backend may flush it."""
    if array.dtype.kind != "f" or not subject.capabilities.flushes_subnormals:
        return array
    return np.where(abs(array) < np.finfo(array.dtype).smallest_normal, array.dtype.type(0), array)


def equal_but_for_flushed(subject: Subject, x: HostArray, y: HostArray) -> bool:
    """Whether two arrays have the same bits, subnormals and zeros apart where the backend flushes."""
    return without_subnormals(subject, x).tobytes() == without_subnormals(subject, y).tobytes()
