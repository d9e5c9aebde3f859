"""One plugin by itself: registration, and the checked results of its hooks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar, get_args

import pluggy

from isograd.errors import PluginError
from isograd.plugins import hookspecs
from isograd.plugins.descriptors import (
    BackendDescriptor,
    CommandDescriptor,
    DatasetDescriptor,
    Descriptor,
    check_name,
)
from isograd.plugins.hookspecs import hookimpl
from isograd.plugins.reports import Source, describe

logger = logging.getLogger("isograd.plugins")

T = TypeVar("T")


@dataclass(frozen=True)
class Failure:
    """What `guard` returns in place of a result: the cause in one line, and the exception itself."""

    cause: str
    error: BaseException


def guard(what: str, action: Callable[[], T]) -> T | Failure:
    """Run a plugin's code; whatever it raises becomes a `Failure`, save an interrupt by the user.

    `Exception` would be too narrow: a module that calls `sys.exit` when imported raises SystemExit, and a
    panic in an extension written in Rust derives from BaseException. Neither may end the program for a plugin
    that nobody asked for. KeyboardInterrupt comes from the user, not from the plugin, and passes.
    """
    try:
        return action()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        logger.debug("%s", what, exc_info=True)
        return Failure(f"{what}: {describe(error)}", error)


class Plugin:
    """One registered plugin, in a pluggy manager of its own.

    Hooks are asked plugin by plugin anyway, so that one that raises costs only itself. With a manager each, a
    rejected plugin leaves nothing behind, no name clashes with another's, and no hook wrapper reaches past
    its own plugin.

    Parameters
    ----------
    source : Source
        Where the plugin comes from.
    plugin : object
        A descriptor, or a module or object with functions marked `hookimpl`.

    Raises
    ------
    PluginError
        If no function of `plugin` is marked `hookimpl`.
    pluggy.PluginValidationError
        If a hook is unknown (misspelt, perhaps) or has parameters that its specification lacks.
    """

    def __init__(self, source: Source, plugin: object) -> None:
        self.source = source
        self.plugin = plugin
        self._manager = pluggy.PluginManager("isograd")
        self._manager.add_hookspecs(hookspecs)
        holder = _Holder(plugin) if isinstance(plugin, get_args(Descriptor)) else plugin
        self._manager.register(holder, name=source.name)
        self._manager.check_pending()
        self._implemented = {caller.name for caller in self._manager.get_hookcallers(holder) or ()}
        if not self._implemented:
            raise PluginError(
                f"{source.value} is a {type(plugin).__name__} without hook implementations; expected a "
                "descriptor, or a module or object with functions marked isograd.plugins.hookimpl"
            )
        self._offers: dict[str, Mapping[str, Any] | Failure] = {}
        self._asking: set[str] = set()

    def offer(self, hook: str) -> Mapping[str, Any] | Failure:
        """What this plugin offers through `hook`, by name; the hook is called the first time only."""
        if hook in self._asking:
            # The hook itself is querying the registry, and must not be asked again.
            return {}
        if hook not in self._offers:
            self._asking.add(hook)
            try:
                self._offers[hook] = guard(f"{hook} failed", lambda: self._ask(hook))
            finally:
                self._asking.discard(hook)
        return self._offers[hook]

    def _ask(self, hook: str) -> Mapping[str, Any]:
        if hook not in self._implemented:
            return {}
        caller = getattr(self._manager.hook, hook)
        results = caller()
        # pluggy drops a result of None, which here can only be a forgotten `return`.
        if len(results) != len(caller.get_hookimpls()):
            raise PluginError("it returned None")
        offer: dict[str, Any] = {}
        for name, item in (pair for result in results for pair in HOOKS[hook](result)):
            if name in offer:
                raise PluginError(f"it returned {name!r} twice")
            if isinstance(item, BackendDescriptor) and item.distribution is None:
                item = replace(item, distribution=self.source.distribution)
            offer[name] = item
        return offer


class _Holder:
    """A bare descriptor as a plugin with one hook."""

    def __init__(self, descriptor: object) -> None:
        hooks = {
            BackendDescriptor: "isograd_backends",
            DatasetDescriptor: "isograd_datasets",
            CommandDescriptor: "isograd_commands",
        }
        hook = next(hook for kind, hook in hooks.items() if isinstance(descriptor, kind))
        setattr(self, hook, hookimpl(lambda: (descriptor,)))


Pairs = Iterable[tuple[str, Any]]


def _descriptors_of(kind: type[Any]) -> Callable[[object], Pairs]:
    def pairs(result: object) -> Pairs:
        for item in _sequence(result, kind.__name__):
            if not isinstance(item, kind):
                raise PluginError(f"it returned a {type(item).__name__} where a {kind.__name__} was expected")
            yield item.name, item

    return pairs


def _specs(result: object) -> Pairs:
    for item in _sequence(result, "spec classes"):
        parameters = getattr(item, "__dataclass_params__", None)
        if not (isinstance(item, type) and parameters is not None and parameters.frozen):
            shown = item.__name__ if isinstance(item, type) else f"an instance of {type(item).__name__}"
            raise PluginError(f"it returned {shown} where a frozen dataclass was expected")
        yield item.__name__, item


def _functions(result: object) -> Pairs:
    if not isinstance(result, Mapping):
        raise PluginError(f"it returned a {type(result).__name__}; expected a mapping of names to callables")
    for name, function in result.items():
        check_name(name, "a function's name")
        if not callable(function):
            raise PluginError(f"it returned a {type(function).__name__} under {name!r}; expected a callable")
        yield name, function


def _sequence(result: object, of: str) -> Sequence[Any]:
    if not isinstance(result, Sequence) or isinstance(result, str | bytes):
        raise PluginError(f"it returned a {type(result).__name__}; expected a sequence of {of}")
    return result


HOOKS: Mapping[str, Callable[[object], Pairs]] = {
    "isograd_backends": _descriptors_of(BackendDescriptor),
    "isograd_datasets": _descriptors_of(DatasetDescriptor),
    "isograd_layers": _specs,
    "isograd_costs": _specs,
    "isograd_functions": _functions,
    "isograd_commands": _descriptors_of(CommandDescriptor),
}
