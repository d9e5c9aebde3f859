"""All that is found out about a disagreement, as text and as data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isograd.errors import IsogradError
from isograd.graph import Function, format_graph
from isograd.graph.tensor import topological
from isograd.testing import ReferenceBackend
from isograd_conformance.bounds import DisagreementError, Judgement, wrong_elements
from isograd_conformance.diagnosis.hints import hint
from isograd_conformance.diagnosis.localise import Parting, first_parting, judged
from isograd_conformance.diagnosis.script import as_script
from isograd_conformance.diagnosis.shrink import smallest
from isograd_conformance.options import usable
from isograd_conformance.subject import Subject


@dataclass(frozen=True)
class Diagnosis:
    """Where and how a backend parts from the reference.

    Attributes
    ----------
    summary : str
        A line on the node, or that none was found.
    node : str
        The first node that is wrong, with its operands' shapes; empty where none was found.
    primitive : str
    element, found, expected : str
        Of the worst element.
    ratio : float
        err/E of the worst element.
    hint : str
        What the numbers look like; may be empty.
    verdicts : dict of str to str
        Of the other backends on the same function, by specification.
    script : str
        Shows it without anything else; empty where none was found.
    """

    summary: str
    node: str = ""
    primitive: str = ""
    element: str = ""
    found: str = ""
    expected: str = ""
    ratio: float = 0.0
    hint: str = ""
    verdicts: dict[str, str] | None = None
    script: str = ""

    def __str__(self) -> str:
        lines = [self.summary]
        if self.node:
            lines.append(f"  node      {self.node}")
            lines.append(f"  element   {self.element}: got {self.found}, expected {self.expected}")
            lines.append(f"  err/E     {self.ratio:.3g} (up to 2 is accepted)")
        if self.hint:
            lines.append(f"  hint      {self.hint}")
        if self.verdicts:
            width = max(map(len, self.verdicts))
            lines += ["  others"] + [f"    {name:<{width}}  {text}" for name, text in self.verdicts.items()]
        if self.script:
            lines += ["  script", "", self.script]
        return "\n".join(lines)


def diagnose(error: DisagreementError) -> Diagnosis:
    """Find out where the backend of a disagreement parts from the reference.

    Parameters
    ----------
    error : DisagreementError
        Whose `subject` is known.
    """
    subject = error.subject
    assert isinstance(subject, Subject)
    function, values = _function_of(error), error.values
    parting = first_parting(subject, function, values)
    if parting is None:
        return Diagnosis(
            f"{subject.specification}: no node of the graph is wrong when it is run again: the fault shows "
            "only beside other computations, or not every time"
        )
    small = smallest(subject, parting)
    # The more numbers are wrong, the more their ratio says.
    return _diagnosis(subject, small, hint(parting.judgement, small.judgement))


def _function_of(error: DisagreementError) -> Function:
    """What was computed: the function that was called where it is known, else the tensor that was wrong."""
    if isinstance(error.function, Function):
        return error.function
    tensor = error.judgement.tensor
    variables = {t.name: t for t in topological([tensor]) if t.primitive == "variable"}
    return Function(variables, {error.judgement.name: tensor})


def _diagnosis(subject: Subject, parting: Parting, advice: str) -> Diagnosis:
    judgement = parting.judgement
    node = _described(parting)
    how = "by itself" if parting.alone else "as a part of the graph; by itself, each of its nodes is right"
    element, found, expected = _worst_element(judgement)
    title = f"{subject.specification} computes {parting.node.primitive} otherwise than the reference."
    if not advice and not parting.alone and judgement.name.startswith("state "):
        advice = "only where state is updated: is an old value read after it was overwritten?"
    return Diagnosis(
        f"{subject.specification} first parts from the reference at {parting.node.primitive}, {how}.",
        node,
        parting.node.primitive,
        element,
        found,
        expected,
        judgement.worst,
        advice,
        _other_verdicts(subject, parting),
        as_script(parting.function, parting.inputs, parting.state, subject.specification, title),
    )


def _described(parting: Parting) -> str:
    """The node, by itself in a graph of one line for each operand."""
    if not parting.alone:
        return f"%{parting.position} of\n{format_graph(parting.function.outputs, parting.function.updates)}"
    node = parting.function.outputs["result"]
    operands = ", ".join(f"{x.name or 'constant'} {x.dtype}{list(x.shape)}" for x in node.inputs)
    attributes = "".join(f", {name}={value}" for name, value in node.attributes.items())
    return f"{node.primitive}({operands}{attributes}) -> {node.dtype}{list(node.shape)}"


def _worst_element(judgement: Judgement) -> tuple[str, str, str]:
    found, (value, error) = judgement.found, judgement.held
    if found.shape != value.shape:
        return "all", f"shape {list(found.shape)}", f"shape {list(value.shape)}"
    wrong = wrong_elements(found, judgement.held)
    if not wrong.any():
        return "all", found.dtype.name, judgement.tensor.dtype
    at = np.unravel_index(np.argmax(np.where(wrong, judgement.held.ratios(found), -1)), found.shape)
    bound = 2 * float(error[at])
    return str([int(i) for i in at]), str(found[at]), f"{value[at]!s} +- {bound:.3g}"


def _other_verdicts(subject: Subject, parting: Parting) -> dict[str, str]:
    """What the reference in the working precision and every other usable backend make of the same."""
    verdicts = {}
    for other in [
        Subject("reference in the working precision", ReferenceBackend(), "cpu"),
        *_others(subject),
    ]:
        judgements = judged(other, parting.function, parting.inputs, parting.state)
        wrong = [j for j in judgements if j.problem is not None]
        ratio = max((j.worst for j in judgements), default=0.0)
        if not judgements:
            verdicts[other.specification] = "refuses the function"
        else:
            verdicts[other.specification] = f"{'differs' if wrong else 'agrees'}, err/E {ratio:.2g}"
    return verdicts


def _others(subject: Subject) -> list[Subject]:
    """The usable backends but for the subject's; one that can not be made is left out."""
    made = []
    for name in usable():
        if name == subject.backend.name:
            continue
        try:
            made.append(Subject.choose(name))
        except IsogradError:
            # Whether other backends work is not what is asked here.
            continue
    return made
