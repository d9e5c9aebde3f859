"""The group of commands: what `isograd --help` shows, where each command lies, how errors end the program.

Nothing here, nor any plugin's descriptor, imports NumPy: the commands' modules do, when they are invoked.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from isograd import __version__, plugins
from isograd.cli.log import more_shown, warnings_shown
from isograd.errors import IsogradError, NonFiniteError, PluginError
from isograd.plugins.reports import describe

logger = logging.getLogger("isograd.cli")

# By name: where the command is, and its line in the list of commands (the first of the function's docstring).
COMMANDS = {
    "train": ("isograd.cli.train:train", "Train a network as a run file or a preset says."),
    "ensemble": ("isograd.cli.ensemble:ensemble", "Train several networks of one run, and let them vote."),
    "evaluate": ("isograd.cli.evaluate:evaluate", "Measure a trained network's accuracy on a data set."),
    "predict": ("isograd.cli.predict:predict", "Classify one image with a trained network or an ensemble."),
    "reproduce": (
        "isograd.cli.reproduce:reproduce",
        "Run published experiments again, and put the published figures beside ours.",
    ),
    "plot": (
        "isograd.cli.plot:plot",
        "Draw filters, errors, curves, gradients, overfitting or the confusion matrix of trained networks.",
    ),
    "export": ("isograd.cli.export:export", "Write a trained network as an ONNX file."),
    "summary": ("isograd.cli.summary:summary", "Show the layers of a run or of a trained network."),
    "presets": ("isograd.cli.listing:presets", "List the runs that come with isograd."),
    "data": ("isograd.cli.listing:data", "List the data sets, installed or known."),
    "backends": ("isograd.cli.listing:backends", "List the backends, installed or known."),
    "plugins": ("isograd.cli.listing:plugins", "List the plugins, and what is wrong with those that fail."),
    "new-backend": ("isograd.cli.new_backend:new_backend", "Write a package to begin a backend with."),
}

_HELP = """Neural networks whose backends are plugins and whose gradients are equal on all of them.

Try: isograd train chapter6/dbl_conv_relu --epochs 1 --init n_in"""

_EPILOG = (
    "Exit codes: 0 success; 1 an error, told in one line on stderr; 2 wrong usage; 3 training met a cost "
    "that is not finite; 130 interrupted.\n\n"
    "A setting comes from its option, else from the environment (ISOGRAD_BACKEND, ISOGRAD_SEED), else "
    "from the run file, else it is the default."
)


class LazyGroup(TyperGroup):
    """Lists commands without importing them, and turns the errors that isograd raises into one line."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, (_, summary) in COMMANDS.items():
            self.add_command(TyperCommand(name, help=summary))

    def main(self, *args: Any, **options: Any) -> Any:
        # Already the list of commands may have warnings.
        with warnings_shown():
            return super().main(*args, **options)

    def list_commands(self, ctx: Any) -> list[str]:
        self._add_plugins()
        return super().list_commands(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command as listings show it: its name and one line."""
        if cmd_name not in COMMANDS:
            self._add_plugins()
        return super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command itself, imported now."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and _load(str(name)), rest

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As ever; but --traceback, which one appends to a command that has failed, counts there too."""
        end = args.index("--") if "--" in args else len(args)
        if "--traceback" in args[:end]:
            args = ["--traceback", *(arg for arg in args[:end] if arg != "--traceback"), *args[end:]]
        return super().parse_args(ctx, args)

    def _add_plugins(self) -> None:
        # Only for listings and unknown names: isograd's own commands do not wait for discovery.
        for name, descriptor in plugins.command_descriptors().items():
            if name in COMMANDS:
                logger.warning("a plugin's command %r is left out: isograd has one of that name", name)
            else:
                self.add_command(TyperCommand(name, help=descriptor.summary))

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except IsogradError as error:
            _report(error, ctx.params["traceback"])
            raise typer.Exit(3 if isinstance(error, NonFiniteError) else 1) from error
        except KeyboardInterrupt as error:
            typer.echo("interrupted", err=True)
            raise typer.Exit(130) from error


app = typer.Typer(
    cls=LazyGroup, help=_HELP, epilog=_EPILOG, no_args_is_help=True, pretty_exceptions_enable=False
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"isograd {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    ctx: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit."),
    ] = False,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Show where in the program an error arose.")
    ] = False,
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose", "-v", count=True, help="Log to stderr what goes on; twice: in every detail."
        ),
    ] = 0,
) -> None:
    """What stands before the command."""
    if verbose:
        ctx.with_resource(more_shown(verbose))


def _load(name: str) -> Any:
    """A command with its options, as Typer makes it of a function."""
    if name in COMMANDS:
        module, _, function = COMMANDS[name][0].partition(":")
        return _as_command(name, getattr(import_module(module), function))
    try:
        return _as_command(name, plugins.command_descriptors()[name].load())
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        # As broad as for plugins' other code: an import may well end in SystemExit.
        raise PluginError(f"the command {name!r} can not be loaded: {describe(error)}") from error


def _as_command(name: str, function: Callable[..., Any]) -> Any:
    single = typer.Typer(add_completion=False)
    single.command(name)(function)
    return typer.main.get_command(single)


def _report(error: IsogradError, with_traceback: bool) -> None:
    if with_traceback:
        import traceback

        traceback.print_exception(error)
    # Messages may list things on lines of their own; here one line is one error.
    message = re.sub(r"([:;,]?)\s*\n\s*", lambda end: f"{end[1] or ';'} ", str(error))
    typer.echo(f"error: {message}", err=True)
