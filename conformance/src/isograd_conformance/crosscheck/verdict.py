"""The result of a cross-check, as data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from isograd.cli.output import plain_data
from isograd.pages.fragments import frame
from isograd_conformance.layers import Kind

Phase = Literal["prediction", "training"]


@dataclass(frozen=True)
class Examined:
    """One backend that took part.

    Attributes
    ----------
    specification : str
        "NAME:DEVICE".
    version : str
        Its own and its framework's.
    precision : str
        In which the operands of sums of products of the network's dtype are read.
    """

    specification: str
    version: str
    precision: str


@dataclass(frozen=True)
class Cell:
    """The verdict on one kind of result of one layer on one backend, over all steps.

    Attributes
    ----------
    backend : str
    layer : int
    phase : "prediction" or "training"
    kind : "output", "cost", "gradient", "update" or "whole"
        Whole is the step from end to end, without further outputs.
    elements : int
        How many numbers were compared.
    worst : float
        The largest err/E; up to 2 is accepted.
    vacuous : float
        The share of numbers whose bound is beyond 5 percent of the largest: it proves nothing of them.
    agrees : bool
    unjudged : int
        How many arrays of a whole step were not judged, since their bound from end to end proves nothing.
    """

    backend: str
    layer: int
    phase: Phase
    kind: Kind
    elements: int
    worst: float
    vacuous: float
    agrees: bool
    unjudged: int = 0


@dataclass(frozen=True)
class FirstParting:
    """Where a backend first differs from the reference, in the order of computation.

    Attributes
    ----------
    backend : str
    phase : "prediction" or "training"
    step : int
        From 0.
    layer : int
    array : str
        The name of the result that is wrong.
    problem : str
        How, in words.
    diagnosis : str
        The first node of the layer's graph that is wrong, a hint, the other backends and a script.
    """

    backend: str
    phase: Phase
    step: int
    layer: int
    array: str
    problem: str
    diagnosis: str


@dataclass(frozen=True)
class Drift:
    """How far apart two backends' parameters are after the steps, each running freely: reported, not judged.

    Attributes
    ----------
    backend, other : str
    largest : float
        The largest difference of an element, relative to the largest element of its array.
    path : str
        Of the parameter with it.
    """

    backend: str
    other: str
    largest: float
    path: str


@dataclass(frozen=True)
class CrossCheck:
    """What a cross-check found.

    Attributes
    ----------
    title : str
        Of the network.
    dtype : str
    examples, steps : int
        In a mini-batch; how many mini-batches.
    layers : tuple of str
        Each layer's name and class; at last the step as a whole.
    backends : tuple of Examined
    cells : tuple of Cell
    partings : tuple of FirstParting
        At most one for each backend; none where all agree.
    drifts : tuple of Drift
    versions : dict of str to str
        Of what the verdict rests on.
    seconds : float
    """

    title: str
    dtype: str
    examples: int
    steps: int
    layers: tuple[str, ...]
    backends: tuple[Examined, ...]
    cells: tuple[Cell, ...]
    partings: tuple[FirstParting, ...]
    drifts: tuple[Drift, ...]
    versions: dict[str, str]
    seconds: float

    @property
    def agrees(self) -> bool:
        """Whether every backend computes the network within the bound."""
        return not self.partings

    @property
    def elements(self) -> int:
        """How many numbers were compared."""
        return sum(cell.elements for cell in self.cells)

    @property
    def vacuous(self) -> float:
        """The share of numbers whose bound proves nothing."""
        return sum(cell.vacuous * cell.elements for cell in self.cells) / max(self.elements, 1)

    @property
    def worst(self) -> float:
        """The largest err/E anywhere."""
        return max((cell.worst for cell in self.cells), default=0.0)

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        names = [backend.specification for backend in self.backends]
        together = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
        if self.agrees:
            same = "the same network" if len(names) > 1 else "the network as it is defined"
            verb = "compute" if len(names) > 1 else "computes"
            return f"AGREE: {together} {verb} {same}; err/E at most {self.worst:.2f} of 2"
        first = self.partings[0]
        where = f"layer {self.layers[first.layer]}, {first.array}, {first.phase} step {first.step}"
        return f"DISAGREE: {first.backend} first parts from the definition at {where}"

    def _repr_html_(self) -> str:
        """The page of the verdict, for a notebook. Raises UnsupportedError if Jinja is not installed."""
        from isograd_conformance.crosscheck.display import as_page

        return frame(as_page(self), self.sentence)

    def rows(self) -> Iterator[tuple[int, Phase, Kind, dict[str, Cell]]]:
        """The cells by layer, phase and kind, in the order of the network: for each backend its own."""
        keys = dict.fromkeys((cell.layer, cell.phase, cell.kind) for cell in self.cells)
        for layer, phase, kind in sorted(keys, key=_order):
            chosen = {c.backend: c for c in self.cells if (c.layer, c.phase, c.kind) == (layer, phase, kind)}
            yield layer, phase, kind, chosen

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as `--json` prints it; numbers that are not finite as texts."""
        summary = {"agrees": self.agrees, "verdict": self.sentence, "elements": self.elements}
        whole = {**summary, "vacuous": self.vacuous, "worst": self.worst, **asdict(self)}
        data: dict[str, Any] = plain_data(whole)
        return data


def _order(key: tuple[int, Phase, Kind]) -> tuple[int, int, int]:
    layer, phase, kind = key
    return layer, get_args(Phase).index(phase), get_args(Kind).index(kind)
