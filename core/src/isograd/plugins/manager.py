"""The registry of plugins: discovery, registration in this process, and what they all offer together."""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, get_args

from isograd.errors import ArgumentError, ArgumentTypeError, PluginError
from isograd.plugins.descriptors import BackendDescriptor, CommandDescriptor, DatasetDescriptor, Descriptor
from isograd.plugins.entrypoints import find_entry_points
from isograd.plugins.known import unknown_name_message
from isograd.plugins.offers import HOOKS, Failure, Plugin, guard, logger
from isograd.plugins.reports import PluginReport, Source, describe

if TYPE_CHECKING:
    from isograd.backend import Backend


class PluginRegistry:
    """All plugins of one process, found when first needed.

    Every method may be called from any thread. Installed plugins are imported once, one guard each; one that
    fails is reported and logged (logger "isograd.plugins") and disables nothing but itself.

    Parameters
    ----------
    path : sequence of str, optional
        Directories searched for installed distributions; by default `sys.path`.
    """

    def __init__(self, path: Sequence[str] | None = None) -> None:
        self._path = path
        # Reentrant, because a hook or a module being imported may come back here.
        self._lock = threading.RLock()
        self._registered: dict[str, Plugin] = {}
        self._installed: list[Plugin] | None = None
        self._discovering = False
        self._discovery_problems: list[PluginReport] = []
        self._tables: dict[str, dict[str, tuple[Any, Source]]] = {}
        self._table_problems: dict[str, list[PluginReport]] = {}
        self._logged: set[PluginReport] = set()

    def backend_descriptors(self) -> dict[str, BackendDescriptor]:
        """Every backend on offer, by name, whether its framework is installed or not."""
        return self._items("isograd_backends")

    def dataset_descriptors(self) -> dict[str, DatasetDescriptor]:
        """Every data set on offer, by name."""
        return self._items("isograd_datasets")

    def load_dataset_plugin(self, name: str) -> DatasetDescriptor:
        """The descriptor of one data set.

        Raises
        ------
        ArgumentTypeError
            If `name` is not a str.
        ArgumentError
            If no plugin offers it; the message lists what is installed and how to install what is not.
        """
        if not isinstance(name, str):
            raise ArgumentTypeError(f"name is {name!r}; expected a str")
        descriptors = self.dataset_descriptors()
        if name not in descriptors:
            raise ArgumentError(
                unknown_name_message("datasets", name, "name", descriptors, self.plugin_reports())
            )
        return descriptors[name]

    def command_descriptors(self) -> dict[str, CommandDescriptor]:
        """Every subcommand on offer, by name."""
        return self._items("isograd_commands")

    def layer_classes(self) -> dict[str, type]:
        """Every layer spec class on offer, by class name."""
        return self._items("isograd_layers")

    def cost_classes(self) -> dict[str, type]:
        """Every cost class on offer, by class name."""
        return self._items("isograd_costs")

    def registered_functions(self) -> dict[str, Callable[..., Any]]:
        """Every callable that plugins offer to files and arguments, by name."""
        return self._items("isograd_functions")

    def plugin_reports(self) -> tuple[PluginReport, ...]:
        """What became of every plugin, after calling every hook: one "ok", or one report for each problem."""
        with self._lock:
            for hook in HOOKS:
                self._table(hook)
            problems = [*self._discovery_problems, *chain(*self._table_problems.values())]
            faulty = {report.source for report in problems}
            good = [plugin.source.report("ok") for plugin in self._plugins() if plugin.source not in faulty]
            return tuple(sorted(good + problems, key=_listing_order))

    def register(self, plugin: object, name: str | None = None) -> str:
        """Register a plugin in this process only, for tests or for a program that embeds isograd.

        It is asked for all that it offers at once, and taken whole or not at all.

        Parameters
        ----------
        plugin : object
            A descriptor, or a module or object with functions marked `hookimpl`.
        name : str, optional
            What `unregister` calls it; by default the descriptor's, module's or type's own name.

        Returns
        -------
        str
            The name.

        Raises
        ------
        ArgumentError
            If the plugin or its name is already registered, or another plugin already offers the same.
        PluginError
            If it has no hook implementation, an unknown hook, or a hook that raises or returns something not
            specified.
        """
        if name is None:
            name = plugin.name if isinstance(plugin, get_args(Descriptor)) else _own_name(plugin)
        with self._lock:
            if name in self._registered:
                raise ArgumentError(f"a plugin {name!r} is already registered; pass another name=")
            kind = type(plugin)
            source = Source(name, f"{kind.__module__}.{kind.__qualname__}")
            candidate = self._admit(source, plugin)
            self._registered[name] = candidate
            self._forget_tables()
        return name

    def _admit(self, source: Source, plugin: object) -> Plugin:
        owner = self._owner(plugin)
        if owner is not None:
            raise ArgumentError(f"the object is already registered as {owner}")
        try:
            candidate = Plugin(source, plugin)
        except Exception as error:
            raise PluginError(f"{source} can not be registered: {describe(error)}") from error
        for hook in HOOKS:
            offer = candidate.offer(hook)
            if isinstance(offer, Failure):
                raise PluginError(f"{source} can not be registered: {offer.cause}") from offer.error
            table = self._table(hook) if offer else {}
            for taken in offer.keys() & table.keys():
                owner = table[taken][1]
                raise ArgumentError(f"{source}: {hook} offers {taken!r}, already offered by {owner}")
        return candidate

    def register_backend(
        self,
        name: str,
        backend: Backend | Callable[[], Backend],
        *,
        summary: str = "registered in this process",
        dtypes: tuple[str, ...] = (),
        requires: tuple[str, ...] = (),
        priority: int = 0,
    ) -> str:
        """Register a backend, or a function that makes one when first used; undone by `unregister(name)`.

        Parameters
        ----------
        name : str
            What users write for it; also the backend's own `name`.
        backend : Backend or callable
            The backend, whose capabilities give `dtypes`, or a function without parameters that returns it.
        summary, dtypes, requires, priority
            As in `BackendDescriptor`.

        Raises
        ------
        ArgumentTypeError, ArgumentError, PluginError
            If an argument is not as described, and as `register` does.
        """
        from isograd.backend import Backend

        if isinstance(backend, Backend):
            instance = backend
            if instance.name != name:
                raise ArgumentError(f"name is {name!r}, but the backend's own name is {instance.name!r}")
            load: Callable[[], Backend] = lambda: instance  # noqa: E731
            dtypes = dtypes or tuple(sorted(instance.capabilities.dtypes))
        else:
            load = backend
        return self.register(
            BackendDescriptor(name, summary, load, dtypes=dtypes, requires=requires, priority=priority)
        )

    def unregister(self, name: str) -> None:
        """Remove a plugin that `register` added.

        Raises
        ------
        ArgumentError
            If none of that name is registered.
        """
        with self._lock:
            if name not in self._registered:
                known = ", ".join(sorted(self._registered)) or "none"
                raise ArgumentError(f"name is {name!r}; expected one registered in this process: {known}")
            del self._registered[name]
            self._forget_tables()

    @contextmanager
    def registered(self, plugin: object, name: str | None = None) -> Iterator[str]:
        """`register` for the length of a `with` block, in all threads; gives the name."""
        name = self.register(plugin, name)
        try:
            yield name
        finally:
            self.unregister(name)

    def refresh(self) -> None:
        """Forget what was discovered, so that the next query sees what has been installed meanwhile.

        Plugins registered in this process stay. A module that was imported already is not imported anew, and
        a problem that was logged already is not logged again.
        """
        with self._lock:
            importlib.invalidate_caches()
            self._installed = None
            self._discovery_problems = []
            self._forget_tables()

    def _items(self, hook: str) -> dict[str, Any]:
        with self._lock:
            return {name: item for name, (item, _) in sorted(self._table(hook).items())}

    def _plugins(self) -> list[Plugin]:
        """All working plugins; those of this process come first and so keep their names after a `refresh`."""
        return [*self._registered.values(), *(self._installed or ())]

    def _owner(self, plugin: object) -> Source | None:
        return next((other.source for other in self._plugins() if other.plugin is plugin), None)

    def _table(self, hook: str) -> dict[str, tuple[Any, Source]]:
        """What all plugins offer through `hook`: by name, the item and where it comes from."""
        self._discover_once()
        if hook in self._tables:
            return self._tables[hook]
        table: dict[str, tuple[Any, Source]] = {}
        problems: list[PluginReport] = []
        for plugin in self._plugins():
            offer = plugin.offer(hook)
            if isinstance(offer, Failure):
                problems.append(plugin.source.report("failed", offer.cause))
                continue
            for name, item in offer.items():
                if name in table:
                    cause = f"{hook} offers {name!r}, already offered by {table[name][1]}"
                    problems.append(plugin.source.report("duplicate", cause))
                else:
                    table[name] = item, plugin.source
        self._log(problems)
        self._tables[hook], self._table_problems[hook] = table, problems
        return table

    def _forget_tables(self) -> None:
        self._tables.clear()
        self._table_problems.clear()

    def _discover_once(self) -> None:
        # A plugin that queries the registry while it is being imported sees what there is so far.
        if self._installed is not None or self._discovering:
            return
        self._discovering = True
        try:
            installed, problems = self._discover()
        finally:
            self._discovering = False
        self._installed, self._discovery_problems = installed, problems
        self._forget_tables()
        self._log(problems)

    def _discover(self) -> tuple[list[Plugin], list[PluginReport]]:
        entry_points, problems = find_entry_points(self._path)
        installed: list[Plugin] = []
        for source, entry_point in entry_points:
            loaded = guard("it can not be imported", entry_point.load)
            if isinstance(loaded, Failure):
                problems.append(source.report("failed", loaded.cause))
                continue
            owner = next((other.source for other in installed if other.plugin is loaded), self._owner(loaded))
            if owner is not None:
                problems.append(source.report("duplicate", f"its object is already registered as {owner}"))
                continue
            plugin = guard("it can not be registered", partial(Plugin, source, loaded))
            if isinstance(plugin, Failure):
                problems.append(source.report("failed", plugin.cause))
            else:
                installed.append(plugin)
        return installed, problems

    def _log(self, problems: Sequence[PluginReport]) -> None:
        """Log each problem once in the registry's life, in one line."""
        for report in problems:
            if report not in self._logged:
                self._logged.add(report)
                # A distribution may well speak two versions of the contract; whoever asks for a name that
                # only the other version offers is told so in that error.
                level = logging.INFO if report.status == "incompatible" else logging.WARNING
                logger.log(level, "%s", report)


def _own_name(plugin: object) -> str:
    name = getattr(plugin, "__name__", None)
    return name if isinstance(name, str) else type(plugin).__name__


def _listing_order(report: PluginReport) -> tuple[str, ...]:
    source = report.source
    return (source.distribution or "", source.group or "", source.name, report.cause)
