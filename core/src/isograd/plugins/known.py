"""The data table `known.toml`: backends and data sets that exist, whether installed here or not."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from isograd.plugins.reports import PluginReport

Kind = Literal["backends", "datasets"]
_NOUNS: Mapping[Kind, str] = {"backends": "backend", "datasets": "data set"}


@dataclass(frozen=True)
class Known:
    """One row of the table: the distribution that offers a name, and the pip command that installs it."""

    distribution: str
    install: str


@cache
def known(kind: Kind) -> Mapping[str, Known]:
    """The rows of one kind, by name."""
    table = tomllib.loads(files("isograd.plugins").joinpath("known.toml").read_text(encoding="utf-8"))
    return {name: Known(**row) for name, row in table[kind].items()}


def known_distributions() -> frozenset[str]:
    """The normalised names of all distributions in the table."""
    return frozenset(row.distribution for kind in _NOUNS for row in known(kind).values())


def install_command(kind: Kind, name: str, distribution: str | None) -> str | None:
    """The pip command for `name`: the table's, else one made of `distribution`, else None."""
    if name in known(kind):
        return known(kind)[name].install
    return f"pip install {distribution}" if distribution else None


def unknown_name_message(
    kind: Kind, name: str, argument: str, installed: Iterable[str], reports: Iterable[PluginReport]
) -> str:
    """What to say of a `name` that no plugin offers: what is installed, what could be, and what is broken."""
    noun, installed, rows = _NOUNS[kind], sorted(installed), known(kind)
    lines = [f"{argument} names the {noun} {name!r}, which is unknown"]
    if name in rows:
        lines = [f"{argument} names the {noun} {name!r}, which is not installed: {rows[name].install}"]
    lines.append(f"installed: {', '.join(installed) or 'none'}")
    others = [f"{other}: {row.install}" for other, row in rows.items() if other not in {name, *installed}]
    if others:
        lines.append(f"{'also ' if name in rows else ''}available: {'; '.join(others)}")
    broken = [str(report) for report in reports if report.status != "ok"]
    if broken:
        lines.append(f"not usable: {'; '.join(broken)}")
    return "\n  ".join(lines)
