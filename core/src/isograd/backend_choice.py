"""The choice of a backend for a run: from an argument, the environment, a run file or by priority."""

from __future__ import annotations

import logging
import os
import threading
from importlib import metadata
from typing import TYPE_CHECKING, NamedTuple

from isograd import plugins
from isograd.backend import Backend, Capabilities
from isograd.errors import ArgumentError, ArgumentTypeError, PluginError
from isograd.plugins.known import install_command, known, unknown_name_message
from isograd.plugins.reports import describe

if TYPE_CHECKING:
    from isograd.plugins import BackendDescriptor, PluginRegistry

__all__ = ["ENVIRONMENT_VARIABLE", "BackendChoice", "choose_backend", "load_backend"]

logger = logging.getLogger(__name__)

ENVIRONMENT_VARIABLE = "ISOGRAD_BACKEND"
"""The environment variable that names a backend where no argument does."""


class BackendChoice(NamedTuple):
    """A backend and the full name of one of its devices."""

    backend: Backend
    device: str


_instances: dict[str, tuple[BackendDescriptor, Backend]] = {}
# Reentrant, because a backend that wraps another one may choose it while it is itself being made.
_instances_lock = threading.RLock()


def choose_backend(
    argument: str | Backend | None = None,
    run_file: str | None = None,
    *,
    registry: PluginRegistry = plugins.registry,
) -> BackendChoice:
    """The backend and device for a run.

    The first that is given decides: `argument`, the environment variable ISOGRAD_BACKEND, `run_file`, and at
    last the usable descriptor of highest priority (ties go by name).

    Parameters
    ----------
    argument : str or Backend, optional
        "NAME" or "NAME:DEVICE"; the device is all after the first colon and may be the first part of a full
        name ("cuda" for "cuda:0"). Without one it is the backend's default device.
    run_file : str, optional
        What the run file says, in the same form.
    registry : PluginRegistry, optional
        Where to look names up; by default that of `isograd.plugins`.

    Raises
    ------
    ArgumentTypeError, ArgumentError
        If the specification has another form, or the backend or device is unknown or can not be used here;
        the message says where it came from, what there is instead, and how to install what is missing.
    PluginError
        If the backend can not be made, or nothing was specified and no backend is usable.
    """
    if isinstance(argument, Backend):
        return _chosen(argument, argument.resolve_device(None), "argument backend")
    sources = {
        "argument backend": argument,
        f"environment variable {ENVIRONMENT_VARIABLE}": os.environ.get(ENVIRONMENT_VARIABLE),
        "run file": run_file,
    }
    for where, specification in sources.items():
        if specification is not None:
            name, device = _parse(specification, where)
            backend = load_backend(_find_descriptor(name, where, registry))
            return _chosen(backend, backend.resolve_device(device, where), where)
    backend = load_backend(_default_descriptor(registry))
    return _chosen(backend, backend.resolve_device(None), "its priority")


def _chosen(backend: Backend, device: str, why: str) -> BackendChoice:
    logger.debug("backend %s on %s, chosen by %s", backend.name, device, why)
    return BackendChoice(backend, device)


def load_backend(descriptor: BackendDescriptor) -> Backend:
    """The backend of a descriptor: made when first asked for, the same object ever after.

    Raises
    ------
    PluginError
        If `load` raises or returns something else; the message names the distribution, its version and the
        cause.
    """
    with _instances_lock:
        made_for, backend = _instances.get(descriptor.name, (None, None))
        if backend is None or made_for != descriptor:
            backend = _make(descriptor)
            _instances[descriptor.name] = descriptor, backend
        return backend


def _make(descriptor: BackendDescriptor) -> Backend:
    what = f"backend {descriptor.name!r}{_provenance(descriptor.distribution)}"
    try:
        backend = descriptor.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        # As broad as for plugins' other code: importing a framework may well end in SystemExit.
        raise PluginError(f"{what} can not be loaded: {describe(error)}") from error
    if not isinstance(backend, Backend):
        raise PluginError(f"{what}: its load() returned a {type(backend).__name__}; expected a Backend")
    for attribute, kind in (("name", str), ("version", str), ("capabilities", Capabilities)):
        if not isinstance(getattr(backend, attribute, None), kind):
            raise PluginError(f"{what}: the attribute {attribute} is missing or no {kind.__name__}")
    # Checkpoints record the backend's own name, by which it must be found again.
    if backend.name != descriptor.name:
        raise PluginError(f"{what}: the backend calls itself {backend.name!r}; expected the same name")
    missing = sorted(set(descriptor.dtypes) - backend.capabilities.dtypes)
    if missing:
        raise PluginError(f"{what}: the descriptor declares {', '.join(missing)}, the capabilities do not")
    return backend


def _provenance(distribution: str | None) -> str:
    if distribution is None:
        return " (registered in this process)"
    try:
        return f" of {distribution} {metadata.version(distribution)}"
    except metadata.PackageNotFoundError:
        return f" of {distribution} (not installed by that name)"


def _parse(specification: object, where: str) -> tuple[str, str | None]:
    expected = 'expected "NAME" or "NAME:DEVICE", such as "mine" or "mine:cuda:0"'
    if not isinstance(specification, str):
        raise ArgumentTypeError(f"{where} is {specification!r}, a {type(specification).__name__}; {expected}")
    name, colon, device = specification.partition(":")
    if not name or (colon and not device) or any(character.isspace() for character in specification):
        raise ArgumentError(f"{where} is {specification!r}; {expected}")
    return name, device or None


def _find_descriptor(name: str, where: str, registry: PluginRegistry) -> BackendDescriptor:
    descriptors = registry.backend_descriptors()
    if name not in descriptors:
        raise ArgumentError(
            unknown_name_message("backends", name, where, descriptors, registry.plugin_reports())
        )
    missing = descriptors[name].missing()
    if missing:
        command = install_command("backends", name, descriptors[name].distribution)
        raise ArgumentError(
            f"{where} names the backend {name!r}, which needs {', '.join(missing)}, not installed here"
            + (f"; to install it: {command}" if command else "")
        )
    return descriptors[name]


def _default_descriptor(registry: PluginRegistry) -> BackendDescriptor:
    descriptors = registry.backend_descriptors().values()
    usable = [descriptor for descriptor in descriptors if not descriptor.missing()]
    if not usable:
        lines = [f"{name}: {row.install}" for name, row in known("backends").items()]
        lines += [f"{d.name}: needs {', '.join(d.missing())}, not installed here" for d in descriptors]
        lines += [str(report) for report in registry.plugin_reports() if report.status != "ok"]
        raise PluginError("\n  ".join(["no backend can be used here; to install or to mend one:", *lines]))
    return min(usable, key=lambda descriptor: (-descriptor.priority, descriptor.name))
