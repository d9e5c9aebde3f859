"""The verdict on a step as it is really run, without further outputs that might change how it is computed.

A bound carried from one end of a network to the other often proves nothing; only arrays whose bound is small
are judged by it. Where a backend promises that further outputs change no bit, all are judged, by that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isograd.backend import Executable
from isograd_conformance.bounds import DisagreementError, Judgement, judge
from isograd_conformance.bounds.tally import VACUOUS, tally
from isograd_conformance.checks import named
from isograd_conformance.subject import HostArray, HostArrays, Results, Subject


@dataclass(frozen=True)
class WholeVerdict:
    """What came of a step without further outputs.

    Attributes
    ----------
    judgements : list of Judgement
        Of the arrays that were judged by their bound from end to end.
    drifts : dict of str to float
        Of the other arrays: the distance from the step with further outputs, relative to the scale.
    changed : list of str
        Arrays whose bits differ from those of the step with further outputs, though they must not.
    """

    judgements: list[Judgement]
    drifts: dict[str, float]
    changed: list[str]

    def raise_for_problem(self, subject: Subject, values: HostArrays) -> None:
        """Raise an AssertionError, if something is wrong."""
        assert not self.changed, f"further outputs of the step change the bits of {', '.join(self.changed)}"
        for judgement in self.judgements:
            if judgement.problem is not None:
                raise DisagreementError(judgement, values, subject)


def judge_whole(
    subject: Subject, executable: Executable, inputs: HostArrays, state: HostArrays, instrumented: Results
) -> WholeVerdict:
    """Run a step from its inputs and state, and judge what can be judged.

    Parameters
    ----------
    subject : Subject
    executable : Executable
        The step without further outputs.
    inputs, state : mapping of name to ndarray
        Of its function, perhaps with others.
    instrumented : Results
        What the same step with further outputs gave.
    """
    function = executable.function
    given = {name: inputs[name] for name in function.inputs}
    before = {name: state[name] for name in function.state}
    wanted, found = named(function, subject.call(executable, given, before))
    _, shown = named(function, instrumented)
    changed = []
    if subject.reproducible:
        changed = [name for name, array in found.items() if array.tobytes() != shown[name].tobytes()]
    judgements = judge(found, wanted, {**given, **before}, subject.arithmetic, count=False)
    judged = [j for j in judgements if j.held.error.max(initial=0) <= VACUOUS * _scale(j.held.value)]
    for judgement in judged:
        tally.add(judgement.found, judgement.held)
    names = {j.name for j in judged}
    drifts = {name: apart(found[name], shown[name]) for name in found if name not in names}
    return WholeVerdict(judged, drifts, changed)


def _scale(value: HostArray) -> float:
    return float(abs(value[np.isfinite(value)]).max(initial=0))


def apart(a: HostArray, b: HostArray) -> float:
    """The largest difference relative to the largest element; 0 where both are 0."""
    scale = float(abs(b).max(initial=0))
    difference = float(abs(a.astype(np.float64) - b).max(initial=0))
    return difference / scale if scale else difference
