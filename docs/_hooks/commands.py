"""The references of the command line and of run files, made of the program itself."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import typer
from markup import code, escaped, table

from isograd import run_file
from isograd.cli.app import app

ARGUMENTS = "Arguments"


def commands() -> Iterator[tuple[Any, Any]]:
    """Each command, those of installed plugins too, with its context; the group itself first."""
    group = typer.main.get_command(app)
    context = group.make_context("isograd", [], resilient_parsing=True)
    yield group, context
    for name in group.list_commands(context):  # type: ignore[attr-defined]
        _, command, _ = group.resolve_command(context, [name])  # type: ignore[attr-defined]
        yield command, type(context)(command, parent=context, info_name=name)


def _text(text: str) -> str:
    """Help as Markdown, options in it as code."""
    return escaped(re.sub(r"(?<!\S)--[a-z][a-z-]*", r"`\g<0>`", inspect.cleandoc(text)))


def _row(parameter: Any, context: Any) -> tuple[str, str]:
    label, text = parameter.get_help_record(context)
    return code(label).replace("|", "\\|"), _text(text)


def check_command(command: Any) -> None:
    """Refuse a command, argument or option that does not say what it is.

    Raises
    ------
    LookupError
        If it has no help.
    """
    if not command.help:
        raise LookupError(f"the command {command.name!r} has no help: its function has no docstring")
    for parameter in command.params:
        if not getattr(parameter, "help", None):
            raise LookupError(f"{parameter.name!r} of the command {command.name!r} has no help")


def _section(command: Any, context: Any) -> str:
    check_command(command)
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    name = context.command_path
    parts = [f"## {name}", f"```text\n{usage}\n```", _text(command.help)]
    panels: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.params:
        is_argument = parameter.param_type_name == "argument"
        panel = ARGUMENTS if is_argument else getattr(parameter, "rich_help_panel", None) or "Options"
        panels.setdefault(panel, []).append(_row(parameter, context))
    for title, rows in panels.items():
        parts.append(table((title, ""), rows))
    if command.epilog:
        parts.append(_text(command.epilog))
    return "\n\n".join(parts)


def reference() -> str:
    """A section for each command: its usage, help, arguments and options."""
    return "\n\n".join(_section(command, context) for command, context in commands())


def run_file_example() -> str:
    """The run file with every key that the module of run files shows."""
    lines = inspect.cleandoc(run_file.__doc__ or "").splitlines()
    text = "\n".join(line for line in lines if line.startswith("    ") or not line)
    return f"```toml\n{inspect.cleandoc(text)}\n```"
