"""The command `isograd check`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isograd.cli.folders import checkpoint_file, data_beside, write_text
from isograd.cli.output import JsonOption, print_json
from isograd.errors import IsogradError
from isograd.runs import DataTable, find_run

if TYPE_CHECKING:
    from isograd import Dataset, Network
    from isograd_conformance.crosscheck.verdict import CrossCheck

AGREE, DISAGREE, COULD_NOT_RUN = 0, 1, 2


def check(
    network: Annotated[
        str,
        typer.Argument(
            metavar="RUN|CHECKPOINT",
            help="A TOML file, a preset's name (isograd presets), a run's folder or a checkpoint.",
        ),
    ],
    backends: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[:DEVICE],...", help="Which to compare; by default all that can be used here."
        ),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="How many training steps.")] = 3,
    mini_batch_size: Annotated[
        int | None, typer.Option(min=1, help="Examples in a step; by default as the run says, at most 10.")
    ] = None,
    dtype: Annotated[str | None, typer.Option(help="float32 or float64; by default as the run says.")] = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="NAME|PATH", help="A data set, as for train; by default that of the run."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", dir_okay=False, help="Write the verdict as a page, too.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Cross-check a network over backends: do they compute the same thing, and if not, where do they part?

    Predictions, every layer's output, every parameter's gradient and the training steps are held to the
    rounding-error bound of their definition, layer by layer. Nothing is trained or written.

    Exit codes: 0 they agree; 1 they disagree; 2 the check could not run.
    """
    try:
        result = _checked(network, backends, steps, mini_batch_size, dtype, data)
        if html is not None:
            from isograd_conformance.crosscheck.display import as_page

            write_text(html, as_page(result))
    except IsogradError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(COULD_NOT_RUN) from error
    _print(result, as_json)
    raise typer.Exit(AGREE if result.agrees else DISAGREE)


def _checked(
    network: str,
    backends: str | None,
    steps: int,
    mini_batch_size: int | None,
    dtype: str | None,
    data: str | None,
) -> CrossCheck:
    from rich.console import Console

    from isograd_conformance.crosscheck import check as cross_check

    made, training, arguments = _read(network, dtype, data)
    size = mini_batch_size or min(10, arguments.pop("mini_batch_size"), len(training))
    arguments["mini_batch_size"] = size
    console = Console(stderr=True)
    with console.status("") as status:
        return cross_check(
            made, training, backends=backends, steps=steps, title=network, announce=status.update, **arguments
        )


def _read(given: str, dtype: str | None, data: str | None) -> tuple[Network, Dataset, dict[str, Any]]:
    """The network, its training data, and the arguments of its training steps."""
    from isograd import load_dataset
    from isograd.training import StepSchedule

    path = checkpoint_file(Path(given))
    if path.suffix == ".safetensors" and path.is_file():
        network, table, arguments = _read_checkpoint(path, data)
    else:
        run = find_run(given)
        network = run.new_network(dtype)
        table = DataTable.of(data) if data else run.data
        training = run.training
        arguments = {
            "mini_batch_size": training.mini_batch_size,
            "eta": run.eta(),
            "lmbda": training.lmbda,
            "momentum": training.momentum,
            "nesterov": training.nesterov,
            "weight_decay": training.weight_decay,
            "label_smoothing": training.label_smoothing,
            "averaging": training.averaging,
        }
    if dtype is not None and network.dtype != dtype:
        network = _in_precision(network, dtype)
    eta = arguments.get("eta")
    if isinstance(eta, StepSchedule):
        # Its first step may be so small that an update would show nothing.
        arguments["eta"] = eta.eta
    elif callable(eta):
        arguments["eta"] = float(eta(0))
    return network, load_dataset(table.source, validation_size=table.validation_size)[0], arguments


def _read_checkpoint(path: Path, data: str | None) -> tuple[Network, DataTable, dict[str, Any]]:
    from isograd import Network

    network = Network.load(path)
    table = DataTable.of(data) if data else data_beside(path)
    if network.training is None:
        return network, table, {"mini_batch_size": 10}
    agreement = network.training.agreement
    names = ("lmbda", "momentum", "nesterov", "weight_decay", "label_smoothing", "averaging")
    return network, table, {name: agreement[name] for name in ("mini_batch_size", *names)}


def _in_precision(network: Network, dtype: str) -> Network:
    """The same network with its arrays in another precision."""
    from isograd import Network

    other = Network(
        network.layers,
        network.input_shape,
        network.seed,
        init="n_in",
        dtype=dtype,
        cost=network.architecture.cost,
    )
    other.adopt({name: a.astype(dtype) for name, a in {**network.parameters, **network.state}.items()})
    return other


def _print(result: CrossCheck, as_json: bool) -> None:
    if as_json:
        print_json(**result.to_dict())
        return
    from rich.console import Console

    from isograd_conformance.crosscheck.display import print_check

    # Into a pipe or a file, lines keep their length.
    console = Console(width=None if sys.stdout.isatty() else 200, markup=False, highlight=False, emoji=False)
    print_check(result, console)
