"""Find the entry points of installed plugins, importing none of them.

The group's name carries the major version of the contract, so a plugin for another version is seen and
reported without running a line of its code.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from importlib.metadata import Distribution, DistributionFinder, EntryPoint, distributions

from isograd.plugins.known import known_distributions
from isograd.plugins.reports import PluginReport, Source, describe

GROUPS = ("isograd.backends.v1", "isograd.plugins.v1")

# Other versions, and the likely slips ("isograd.plugin.v1", a forgotten version), are worth a report; other
# groups under "isograd." may belong to tools built on top of it.
_OUR_GROUPS = re.compile(r"isograd\.(backends?|plugins?)(\..*)?")


def find_entry_points(
    path: Sequence[str] | None = None,
) -> tuple[list[tuple[Source, EntryPoint]], list[PluginReport]]:
    """The entry points that can be loaded, in a fixed order, and reports on those that can not.

    Distributions from isograd's own data table come first, then all others by name: which of two plugins is
    called the duplicate must not depend on the order of files in a directory.

    Parameters
    ----------
    path : sequence of str, optional
        Directories searched for distributions; by default `sys.path`.
    """
    search = DistributionFinder.Context(path=sys.path if path is None else list(path))
    loadable: list[tuple[Source, EntryPoint]] = []
    reports: list[PluginReport] = []
    seen: set[str] = set()
    for candidate in distributions(context=search):
        try:
            if not _our_entry_points(candidate):
                continue
            name = candidate.metadata["Name"]
            if _normalised(name) in seen:
                continue
            seen.add(_normalised(name))
            # An older copy further down the path may still be listed; what counts is what pip and import see.
            named = DistributionFinder.Context(name=name, path=search.path)
            distribution = next(iter(Distribution.discover(context=named)))
            entry_points = _our_entry_points(distribution)
            version = distribution.version
        except Exception as error:
            # One damaged installation must not hide the others.
            place = str(candidate.locate_file(""))
            reports.append(
                Source("(unreadable)", place).report(
                    "failed", f"the metadata of a distribution in {place} can not be read: {describe(error)}"
                )
            )
            continue
        for entry_point in entry_points:
            source = Source(entry_point.name, entry_point.value, name, version, entry_point.group)
            if entry_point.group in GROUPS:
                loadable.append((source, entry_point))
            else:
                reports.append(
                    source.report(
                        "incompatible",
                        f"it is written for {entry_point.group}; this isograd reads {' and '.join(GROUPS)}",
                    )
                )
    return sorted(loadable, key=lambda item: _rank(item[0])), sorted(reports, key=_rank)


def _our_entry_points(distribution: Distribution) -> list[EntryPoint]:
    return [entry for entry in distribution.entry_points if _OUR_GROUPS.fullmatch(entry.group)]


def _rank(source: Source) -> tuple[bool, str, str, str, str]:
    distribution = _normalised(source.distribution or "")
    return (
        distribution not in known_distributions(),
        distribution,
        source.group or "",
        source.name,
        source.value,
    )


def _normalised(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()
