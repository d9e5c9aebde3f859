"""Descriptors: what a plugin says about a backend, data set or command before anything heavy is imported.

This module imports the standard library alone, so that a plugin's entry point can be loaded for a listing
without NumPy or any framework. Every descriptor is checked when it is made.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any

from isograd.errors import ArgumentError, ArgumentTypeError

if TYPE_CHECKING:
    from isograd.backend import Backend

_NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")


def check_name(name: object, argument: str) -> None:
    """Raise unless `name` is lower-case words joined by single dashes or underscores.

    A colon is excluded above all, since it parts a backend's name from its device.

    Raises
    ------
    ArgumentTypeError
        If `name` is not a str.
    ArgumentError
        If it is not of that form.
    """
    if not isinstance(name, str):
        raise ArgumentTypeError(f"{argument} is {name!r}, a {type(name).__name__}; expected a str")
    if not _NAME.fullmatch(name):
        raise ArgumentError(
            f"{argument} is {name!r}; expected lower-case words (letters, digits) joined by single dashes or "
            "underscores, such as 'my-backend'"
        )


SPECIFICATION = 1
"""The version of the graph language: the primitives, their exact meanings, the table of conventions."""


@dataclass(frozen=True)
class _Descriptor:
    """What all descriptors share; `load` does the heavy imports, and nothing calls it for a listing."""

    name: str
    summary: str
    load: Callable[..., Any]

    def __post_init__(self) -> None:
        kind = type(self).__name__
        check_name(self.name, f"{kind}.name")
        what = f"{kind} {self.name!r}"
        if not isinstance(self.summary, str):
            raise ArgumentTypeError(f"{what}: summary is {self.summary!r}; expected a str")
        if not self.summary.strip() or len(self.summary.splitlines()) != 1:
            raise ArgumentError(f"{what}: summary is {self.summary!r}; expected one line of text")
        if not callable(self.load):
            raise ArgumentTypeError(f"{what}: load is {self.load!r}; expected a callable")


@dataclass(frozen=True)
class BackendDescriptor(_Descriptor):
    """A backend, described without importing its framework.

    Parameters
    ----------
    name : str
        What users write in "NAME[:DEVICE]"; also the `name` of the backend that `load` returns.
    summary : str
        One line for listings.
    load : callable
        Takes nothing and returns the `isograd.backend.Backend`; imports the framework. Called once in a
        process, when the backend is first used.
    dtypes : tuple of str
        The graph dtypes that the backend implements ("float32", ...), all of them among its capabilities.
    requires : tuple of str
        Top-level import names without which `load` can not work. They are looked for, not imported.
    distribution : str or None
        What to install with pip; by default the distribution whose entry point gave the descriptor.
    specification : int
        Version of the graph language's specification that the backend implements.
    priority : int
        Where the user names no backend, the usable one of highest priority is taken; ties go by name.

    Raises
    ------
    ArgumentTypeError, ArgumentError
        If a field is not as described.
    """

    load: Callable[[], Backend]
    _: KW_ONLY
    dtypes: tuple[str, ...]
    requires: tuple[str, ...] = ()
    distribution: str | None = None
    specification: int = SPECIFICATION
    priority: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        what = f"BackendDescriptor {self.name!r}"
        _check_tuple_of_names(self.dtypes, f"{what}: dtypes", '("float32",)')
        _check_tuple_of_names(self.requires, f"{what}: requires", '("framework",), without dots')
        if not isinstance(self.distribution, str | None):
            raise ArgumentTypeError(f"{what}: distribution is {self.distribution!r}; expected a str or None")
        _check_integer(self.specification, f"{what}: specification", minimum=1)
        _check_integer(self.priority, f"{what}: priority")

    def missing(self) -> tuple[str, ...]:
        """Those of `requires` that can not be imported here, found without importing any."""
        return tuple(module for module in self.requires if not _is_importable(module))


@dataclass(frozen=True)
class DatasetDescriptor(_Descriptor):
    """A data set, described without reading it.

    Parameters
    ----------
    name : str
        What users write to load it.
    summary : str
        One line for listings.
    load : callable
        Takes nothing and returns the `isograd.data.DatasetSplits`; reads the data.
    licence : str
        Under which terms the data may be used, such as "CC BY-SA 3.0".
    examples : int
        How many examples it holds in all.

    Raises
    ------
    ArgumentTypeError, ArgumentError
        If a field is not as described.
    """

    licence: str
    examples: int

    def __post_init__(self) -> None:
        super().__post_init__()
        what = f"DatasetDescriptor {self.name!r}"
        if not isinstance(self.licence, str):
            raise ArgumentTypeError(f"{what}: licence is {self.licence!r}; expected a str")
        if not self.licence.strip():
            raise ArgumentError(f"{what}: licence is empty; expected the terms of use, such as 'CC0-1.0'")
        _check_integer(self.examples, f"{what}: examples", minimum=1)


@dataclass(frozen=True)
class CommandDescriptor(_Descriptor):
    """A subcommand of the command line, described without importing it.

    Parameters
    ----------
    name : str
        What users type after `isograd`.
    summary : str
        One line for `isograd --help`.
    load : callable
        Takes nothing and returns the command: a plain function whose parameters carry Typer annotations.

    Raises
    ------
    ArgumentTypeError, ArgumentError
        If a field is not as described.
    """

    load: Callable[[], Callable[..., Any]]


Descriptor = BackendDescriptor | DatasetDescriptor | CommandDescriptor


def _check_tuple_of_names(value: object, argument: str, example: str) -> None:
    # A lone string is the likely slip, ("a") for ("a",), and would pass as a sequence of letters.
    if not isinstance(value, tuple) or not all(isinstance(item, str) for item in value):
        raise ArgumentTypeError(f"{argument} is {value!r}; expected a tuple of str such as {example}")
    for item in value:
        if not item.isidentifier():
            raise ArgumentError(f"{argument} holds {item!r}; expected names such as {example}")


def _check_integer(value: object, argument: str, minimum: int | None = None) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ArgumentTypeError(f"{argument} is {value!r}; expected an int")
    if minimum is not None and value < minimum:
        raise ArgumentError(f"{argument} is {value}; expected at least {minimum}")


def _is_importable(module: str) -> bool:
    # `find_spec` raises for an imported module that has no spec, as one made by hand.
    if module in sys.modules:
        return sys.modules[module] is not None
    return importlib.util.find_spec(module) is not None
