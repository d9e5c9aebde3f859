"""What became of each plugin: where it comes from, whether it works, and if not, why."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

Status = Literal["ok", "failed", "incompatible", "duplicate"]


@dataclass(frozen=True)
class Source:
    """Where a plugin comes from: an entry point of an installed distribution, or `register` in this process.

    Attributes
    ----------
    name : str
        The entry point's name, or the name given to `register`.
    value : str
        What the entry point names, "package.module:attribute"; without an entry point, the plugin's type.
    distribution, version : str or None
        The distribution that declares the entry point; None for a plugin registered in this process.
    group : str or None
        The entry-point group; None for a plugin registered in this process.
    """

    name: str
    value: str
    distribution: str | None = None
    version: str | None = None
    group: str | None = None

    def report(self, status: Status, cause: str = "") -> PluginReport:
        """This source's report with that status."""
        return PluginReport(**asdict(self), status=status, cause=cause)

    def __str__(self) -> str:
        if self.distribution is None:
            return f"plugin {self.name!r} (registered in this process)"
        return f"plugin {self.name!r} of {self.distribution} {self.version or '(version unknown)'}"


@dataclass(frozen=True, kw_only=True)
class PluginReport(Source):
    """What became of one plugin.

    Attributes
    ----------
    status : str
        "ok"; "failed", if it could not be imported or registered, or a hook raised or returned something not
        specified; "incompatible", if its entry-point group belongs to another version of the contract (it is
        not imported); "duplicate", if something it offers was already offered by another plugin.
    cause : str
        One line that says why; empty for "ok".
    """

    status: Status
    cause: str

    @property
    def source(self) -> Source:
        """The plugin that this report is about."""
        return Source(self.name, self.value, self.distribution, self.version, self.group)

    def __str__(self) -> str:
        return f"{super().__str__()}: {self.status}{f', {self.cause}' if self.cause else ''}"


def describe(error: BaseException) -> str:
    """An exception in one line: its type and its message."""
    try:
        message = " ".join(str(error).split())
    except Exception:
        # The exception belongs to a plugin; one that can not even be printed must not take the report down.
        message = "(its message can not be printed)"
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
