"""Plugins: backends, data sets, layer specs, costs, functions and commands from other distributions.

A plugin is an entry point in the group `isograd.backends.v1` or `isograd.plugins.v1` that names a descriptor,
or a module or object with hook implementations (`isograd.plugins.hookspecs` specifies each hook). The
functions here answer for the one registry of this process; the first query discovers what is installed.
Importing this module discovers nothing and imports neither NumPy nor any framework.
"""

from __future__ import annotations

from isograd.plugins.descriptors import (
    SPECIFICATION,
    BackendDescriptor,
    CommandDescriptor,
    DatasetDescriptor,
)
from isograd.plugins.hookspecs import hookimpl, hookspec
from isograd.plugins.manager import PluginRegistry
from isograd.plugins.reports import PluginReport

__all__ = [
    "SPECIFICATION",
    "BackendDescriptor",
    "CommandDescriptor",
    "DatasetDescriptor",
    "PluginRegistry",
    "PluginReport",
    "backend_descriptors",
    "command_descriptors",
    "cost_classes",
    "dataset_descriptors",
    "hookimpl",
    "hookspec",
    "layer_classes",
    "load_dataset_plugin",
    "plugin_reports",
    "refresh",
    "register",
    "register_backend",
    "registered",
    "registered_functions",
    "registry",
    "unregister",
]

registry = PluginRegistry()
"""The one registry of this process."""

backend_descriptors = registry.backend_descriptors
command_descriptors = registry.command_descriptors
cost_classes = registry.cost_classes
dataset_descriptors = registry.dataset_descriptors
layer_classes = registry.layer_classes
load_dataset_plugin = registry.load_dataset_plugin
plugin_reports = registry.plugin_reports
refresh = registry.refresh
register = registry.register
register_backend = registry.register_backend
registered = registry.registered
registered_functions = registry.registered_functions
unregister = registry.unregister
