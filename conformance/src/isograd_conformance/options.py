"""What the command line says of a run of the suite. Light: pytest imports it in every run, by the plugin."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """The options of one run.

    Attributes
    ----------
    backends : tuple of str
        Specifications "NAME[:DEVICE]", none twice; "all" is already resolved.
    profile : "quick" or "thorough"
        quick draws the same few examples each time, thorough many others each time.
    scale : float
        Multiplies the number of examples.
    long : bool
        Whether tests run that take minutes.
    shrink : bool
        Whether a failure is made small, which takes many more runs.
    seed : int, optional
        Draws other examples in the quick profile too, the same ones for the same number.
    """

    backends: tuple[str, ...] = ()
    profile: str = "quick"
    scale: float = 1.0
    long: bool = False
    shrink: bool = True
    seed: int | None = None


# The tests' decorators are evaluated at import, when no configuration is at hand.
_active = [Options()]


def active() -> Options:
    """The options of the run that is under way."""
    return _active[-1]


def enter(options: Options) -> None:
    """Make `options` the active ones, until `leave`."""
    _active.append(options)


def leave() -> None:
    """Go back to the options before the last `enter`."""
    _active.pop()


def split(values: list[str], usable: list[str]) -> tuple[str, ...]:
    """What `--backend` was given, without repetition, "all" replaced by the usable backends' names."""
    names = [name for value in values for name in (usable if value == "all" else [value])]
    return tuple(dict.fromkeys(names))


def usable() -> list[str]:
    """The names of the backends that are installed and can be used here, sorted."""
    from isograd import plugins

    return sorted(name for name, d in plugins.backend_descriptors().items() if not d.missing())
