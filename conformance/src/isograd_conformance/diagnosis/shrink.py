"""The smallest application of a primitive that a backend computes wrongly."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from hypothesis import HealthCheck, Phase, find, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from isograd.graph import PRIMITIVES, Function, variable
from isograd_conformance.diagnosis.localise import Parting, judged
from isograd_conformance.strategies.arrays import KINDS, SEEDS
from isograd_conformance.strategies.primitives import CASES, Application, applications
from isograd_conformance.subject import HostArray, Subject

# Each compiles a function; a primitive that is wrong in general is so within a few.
_EXAMPLES = 60

_SETTINGS = settings(
    max_examples=_EXAMPLES,
    database=None,
    deadline=None,
    derandomize=True,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)


class _Case(NamedTuple):
    application: Application
    kind: str
    seed: int

    def __str__(self) -> str:
        return self.application.primitive


def smallest(subject: Subject, parting: Parting) -> Parting:
    """The parting of the smallest application of the same primitive that is wrong; else `parting` itself.

    Shapes shrink to few rows and no attributes, values to small whole numbers.
    """
    node = parting.node
    dtype = node.inputs[0].dtype if node.inputs else node.dtype
    if not parting.alone or dtype not in CASES[node.primitive].dtypes:
        return parting
    cases = st.builds(_Case, applications(node.primitive, dtype), st.sampled_from(KINDS), SEEDS)
    try:
        found = find(cases, lambda case: _parting(subject, case) is not None, settings=_SETTINGS)
    except NoSuchExample:
        return parting
    return _parting(subject, found) or parting


def _parting(subject: Subject, case: _Case) -> Parting | None:
    function, inputs = _function(case)
    if not subject.declares(*{t.dtype for t in function.nodes}):
        return None
    for judgement in judged(subject, function, inputs, {}):
        if judgement.problem is not None:
            node, position = function.outputs["result"], len(function.nodes) - 1
            return Parting(node, position, True, function, inputs, {}, judgement)
    return None


def _function(case: _Case) -> tuple[Function, dict[str, HostArray]]:
    rng = np.random.default_rng(case.seed)
    names = ["x", "y", "z", *(f"x{i}" for i in range(3, len(case.application.operands)))]
    variables, inputs = {}, {}
    for name, operand in zip(names, case.application.operands, strict=False):
        variables[name] = variable(name, operand.shape, operand.dtype)
        inputs[name] = operand.fill(rng, case.kind, operand.shape, operand.dtype)
    build = PRIMITIVES[case.application.primitive].build
    result = build(*variables.values(), **case.application.attributes)
    return Function(variables, {"result": result}), inputs
