"""The commands that list what there is. None imports a framework, save `isograd backends --devices`."""

from __future__ import annotations

from importlib import metadata
from typing import Annotated, Any

import typer

from isograd import plugins as registry
from isograd.cli.output import JsonOption, print_rows
from isograd.errors import IsogradError
from isograd.plugins import BackendDescriptor
from isograd.plugins.known import install_command, known

Row = dict[str, Any]


def backends(
    devices: Annotated[
        bool, typer.Option("--devices", help="List devices too; this imports the frameworks.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List the backends, installed or known."""
    offered = registry.backend_descriptors()
    by_priority = sorted(offered.values(), key=lambda descriptor: (-descriptor.priority, descriptor.name))
    rows = [_backend(descriptor, devices) for descriptor in by_priority]
    rows += [
        _backend_row(report.name, report.version, report.distribution, f"{report.status}: {report.cause}")
        for report in registry.plugin_reports()
        if report.status != "ok" and (report.group or "").startswith("isograd.backend")
    ]
    rows += [
        _backend_row(name, None, entry.distribution, f"not installed: {entry.install}")
        for name, entry in known("backends").items()
        if name not in offered
    ]
    print_rows(rows, as_json)


def plugins(as_json: JsonOption = False) -> None:
    """List the plugins, and what is wrong with those that fail."""
    columns = ("name", "version", "distribution", "group", "status", "cause")
    reports = registry.plugin_reports()
    print_rows([{column: getattr(report, column) for column in columns} for report in reports], as_json)


def data(as_json: JsonOption = False) -> None:
    """List the data sets, installed or known."""
    offered = registry.dataset_descriptors()
    rows = [_dataset_row(d.name, d.examples, d.licence, "ready", d.summary) for d in offered.values()]
    rows += [
        _dataset_row(name, None, None, f"not installed: {entry.install}", None)
        for name, entry in known("datasets").items()
        if name not in offered
    ]
    print_rows(rows, as_json)


def presets(as_json: JsonOption = False) -> None:
    """List the runs that come with isograd."""
    from isograd import runs

    print_rows(
        [{"name": name, "summary": runs.read_preset(name).summary} for name in runs.presets()], as_json
    )


def _backend(descriptor: BackendDescriptor, with_devices: bool) -> Row:
    missing = descriptor.missing()
    status, devices = "ready", None
    if missing:
        command = install_command("backends", descriptor.name, descriptor.distribution)
        status = f"needs {', '.join(missing)}" + (f": {command}" if command else "")
    elif with_devices:
        from isograd.backend_choice import load_backend

        try:
            devices = load_backend(descriptor).devices()
        except IsogradError as error:
            # One that does not load must not hide the others.
            status = f"failed: {error}"
    row = _backend_row(
        descriptor.name,
        _version(descriptor.distribution),
        descriptor.distribution,
        status,
        list(descriptor.dtypes),
        [_with_version(module) for module in descriptor.requires if module not in missing],
    )
    return {**row, "devices": devices} if with_devices else row


def _backend_row(
    name: str,
    version: str | None,
    distribution: str | None,
    status: str,
    dtypes: list[str] | None = None,
    uses: list[str] | None = None,
) -> Row:
    return {
        "name": name,
        "version": version,
        "distribution": distribution,
        "status": status,
        "uses": uses,
        "dtypes": dtypes,
    }


def _with_version(module: str) -> str:
    """A framework with its version, of the distribution of the same name, without importing it."""
    return " ".join(filter(None, (module, _version(module))))


def _dataset_row(
    name: str, examples: int | None, licence: str | None, status: str, summary: str | None
) -> Row:
    return {"name": name, "examples": examples, "licence": licence, "status": status, "summary": summary}


def _version(distribution: str | None) -> str | None:
    try:
        return metadata.version(distribution) if distribution else None
    except metadata.PackageNotFoundError:
        return None
