"""The hooks of isograd's plugin system; the docstring of each is its specification.

Every hook is called without arguments, at most once for each plugin, when what it offers is first asked for
(`isograd backends`, the choice of a backend, the help of the command line). It must return quickly and
import nothing heavy, no framework above all: heavy imports belong in a descriptor's `load`. It must not
query `isograd.plugins` itself. A hook that raises, or returns something other than specified, is reported
and contributes nothing; whatever else the same plugin offers, and every other plugin, goes on working.

    from isograd.plugins import BackendDescriptor, hookimpl

    @hookimpl
    def isograd_backends():
        return [BackendDescriptor("mine", "My backend", load_backend, dtypes=("float32",))]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pluggy

from isograd.plugins.descriptors import BackendDescriptor, CommandDescriptor, DatasetDescriptor

hookspec = pluggy.HookspecMarker("isograd")
"""Marks the specification of a hook; those below are all."""
hookimpl = pluggy.HookimplMarker("isograd")
"""Marks a function or method of a plugin as its implementation of the hook of that name."""

# The bodies below never run: each returns what a plugin without that hook offers.


@hookspec
def isograd_backends() -> Sequence[BackendDescriptor]:
    """Backends that this plugin offers.

    Called when a backend is chosen by name or backends are listed. The framework itself is imported by the
    descriptor's `load`, when the backend is first used.

    Returns
    -------
    Sequence of BackendDescriptor
        Names already taken by another plugin are reported as duplicates and left out.
    """
    return ()


@hookspec
def isograd_datasets() -> Sequence[DatasetDescriptor]:
    """Data sets that this plugin offers.

    Called when a data set is loaded by name or data sets are listed. The arrays are read by the descriptor's
    `load`.

    Returns
    -------
    Sequence of DatasetDescriptor
        Names already taken by another plugin are reported as duplicates and left out.
    """
    return ()


@hookspec
def isograd_layers() -> Sequence[type]:
    """Layer specs that this plugin offers, so that a network file may name them.

    Called when a name in a network file is none of isograd's own layers, or layers are listed.

    Returns
    -------
    Sequence of type
        Frozen dataclasses, known in files by their class name. Names already taken by another plugin are
        reported as duplicates and left out.
    """
    return ()


@hookspec
def isograd_costs() -> Sequence[type]:
    """Costs that this plugin offers, so that a network file or a run file may name them.

    Called when a name in a file is none of isograd's own costs, or costs are listed.

    Returns
    -------
    Sequence of type
        Subclasses of `isograd.costs.Cost`, frozen dataclasses, known in files by their class name. Names
        already taken by another plugin are reported as duplicates and left out.
    """
    return ()


@hookspec
def isograd_functions() -> Mapping[str, Callable[..., Any]]:
    """Callables (activations, schedules, initialisers) under the names by which files refer to them.

    Called when a name in a file or an argument is none of isograd's own functions, or functions are listed.
    A callable is never imported from a file, so this is the only way for a plugin's function to be saved.

    Returns
    -------
    Mapping of str to callable
        Names are lower-case words joined by dashes or underscores. Names already taken by another plugin
        are reported as duplicates and left out.
    """
    return {}


@hookspec
def isograd_commands() -> Sequence[CommandDescriptor]:
    """Subcommands that this plugin adds to the command line `isograd`.

    Called whenever the command line starts, `isograd --help` included; the function behind a command is
    imported by the descriptor's `load`, when the command runs or its own help is shown.

    Returns
    -------
    Sequence of CommandDescriptor
        Names already taken by another plugin are reported as duplicates and left out.
    """
    return ()
