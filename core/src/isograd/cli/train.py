"""The command `isograd train`."""

from __future__ import annotations

import shlex
from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isograd.cli.folders import CHECKPOINT, new_folder, run_to_resume
from isograd.cli.options import DATA_HELP, RunArgument
from isograd.cli.output import JsonOption
from isograd.cli.threads import threads_for
from isograd.errors import ArgumentError
from isograd.runs import DataTable, RunFile, find_run

if TYPE_CHECKING:
    from isograd.network import Network
    from isograd.training import History


class Dtype(StrEnum):
    float32 = "float32"
    float64 = "float64"


class Gradient(StrEnum):
    symbolic = "symbolic"
    native = "native"


TRAINING, MACHINE, FILES = "Training", "Machine", "Data and files"


def train(
    run: RunArgument,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="How many epochs in all.", rich_help_panel=TRAINING)
    ] = None,
    mini_batch_size: Annotated[
        int | None, typer.Option(min=1, help="Examples in a step.", rich_help_panel=TRAINING)
    ] = None,
    eta: Annotated[
        float | None, typer.Option(help="The learning rate, in every epoch.", rich_help_panel=TRAINING)
    ] = None,
    lmbda: Annotated[
        float | None, typer.Option(help="The strength of L2 regularisation.", rich_help_panel=TRAINING)
    ] = None,
    momentum: Annotated[
        float | None, typer.Option(help="From 0 to less than 1.", rich_help_panel=TRAINING)
    ] = None,
    early_stopping: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="EPOCHS",
            help="Stop after so many epochs without a better validation accuracy.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    diagnostics: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="EXAMPLES",
            help="After each epoch, measure gradients, units and training accuracy on so many examples.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            metavar="SCHEME",
            help="How weights begin: chapter, n_in, he, glorot or a registered name.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Of all random numbers.", envvar="ISOGRAD_SEED", rich_help_panel=TRAINING),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[:DEVICE]",
            help="What computes (isograd backends); else as ISOGRAD_BACKEND or the run file says.",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    dtype: Annotated[
        Dtype | None, typer.Option(help="Of parameters and computation.", rich_help_panel=MACHINE)
    ] = None,
    gradient: Annotated[
        Gradient | None,
        typer.Option(help="isograd's own, or that of the backend's framework.", rich_help_panel=MACHINE),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="How many the backend may use; 1 by default, where it can be held to that.",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            help=f"{DATA_HELP}.",
            rich_help_panel=FILES,
        ),
    ] = None,
    validation_size: Annotated[
        int | None,
        typer.Option(min=1, help="Training examples to hold out for validation.", rich_help_panel=FILES),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            file_okay=False,
            help="The run's folder; by default runs/NAME, or the next free of runs/NAME-2, runs/NAME-3, ...",
            rich_help_panel=FILES,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with the run in its folder, as its run.toml says.", rich_help_panel=FILES
        ),
    ] = False,
    checkpoint_every: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="STEPS",
            help="Write the checkpoint after so many steps; by default after each epoch.",
            rich_help_panel=FILES,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Train a network as a run file or a preset says.

    The run's folder then holds checkpoint.safetensors (the network and all that it takes to go on), run.toml
    (the run with every setting resolved) and history.json (one record an epoch). Epochs count from 0.
    Progress goes to stderr.

    Ctrl-C ends the run after the present steps with a checkpoint (exit code 130); --resume goes on from it. A
    cost that is not finite ends it with exit code 3 and leaves the last checkpoint.
    """
    found, folder = run_to_resume(run, out) if resume else (find_run(run), None)
    resolved = found.override(
        {
            "training.epochs": epochs,
            "training.mini_batch_size": mini_batch_size,
            "training.eta": eta,
            "training.lmbda": lmbda,
            "training.momentum": momentum,
            "training.early_stopping": early_stopping,
            "training.checkpoint_every": checkpoint_every,
            "training.diagnostics": diagnostics,
            "network.init": init,
            "seed": seed,
            "dtype": dtype and dtype.value,
            "gradient": gradient and gradient.value,
            "threads": threads,
            "data": data and DataTable.of(data),
            "data.validation_size": validation_size,
        }
    )
    history, folder = _train(resolved, folder, out, backend, as_json)
    if history.stopped == "interrupted":
        typer.echo(
            f"interrupted; {folder / CHECKPOINT} can be loaded, and "
            f"`isograd train {shlex.quote(str(folder))} --resume` goes on from it",
            err=True,
        )
        raise typer.Exit(130)


def _train(
    run: RunFile, resumed: Path | None, out: Path | None, backend: str | None, as_json: bool
) -> tuple[History, Path]:
    """Carry the run out; its history and its folder, which is `resumed` for one that goes on."""
    from isograd.backend_choice import choose_backend
    from isograd.cli.report import Report
    from isograd.data import expanded, load_dataset
    from isograd.training import Callback, Diagnostics
    from isograd.training.checks import optional_whole

    network = _network_to_resume(run, resumed / CHECKPOINT) if resumed else run.new_network()
    training, validation, test = load_dataset(run.data.source, validation_size=run.data.validation_size)
    data = expanded(training) if run.data.expanded else training
    choice = choose_backend(backend, run.backend)
    examples = optional_whole("training.diagnostics", run.training.diagnostics, 1)
    measuring: list[Callback] = [] if examples is None else [Diagnostics(data, examples, run.seed)]
    threads = threads_for(choice.backend, run.threads)
    run = run.override({"backend": f"{choice.backend.name}:{choice.device}", "threads": threads})
    with (
        nullcontext(resumed) if resumed else new_folder(run.name, out) as folder,
        Report(run, folder, network, as_json) as report,
    ):
        history = network.SGD(
            data,
            run.training.epochs,
            run.training.mini_batch_size,
            run.eta(),
            validation,
            test,
            run.training.lmbda,
            momentum=run.training.momentum,
            nesterov=run.training.nesterov,
            weight_decay=run.training.weight_decay,
            label_smoothing=run.training.label_smoothing,
            averaging=run.training.averaging,
            shuffle=run.training.shuffle,
            drop_last=run.training.drop_last,
            early_stopping=run.training.early_stopping,
            tested=run.training.tested,
            callbacks=[*measuring, report],
            backend=run.backend,
            gradient=run.gradient,
            checkpoint=folder / CHECKPOINT,
            checkpoint_every=run.training.checkpoint_every,
            resume=resumed is not None,
            progress=False,
            threads=run.threads,
            augmentation=run.augmentation(),
        )
        report.finish(history)
    return history, folder


def _network_to_resume(run: RunFile, checkpoint: Path) -> Network:
    """The network of a checkpoint, which must be the one that the run describes."""
    from isograd.network import Network

    network = Network.load(checkpoint)
    described = {
        "network.layers": (run.layers(), network.layers),
        "network.input_shape": (run.network.input_shape, network.input_shape),
        "network.init": (run.network.init, network.init),
        "network.cost": (run.cost(), network.architecture.cost),
        "seed": (run.seed, network.seed),
        "dtype": (run.dtype, network.dtype),
    }
    for key, (value, found) in described.items():
        if found != value:
            raise ArgumentError(f"{key} is {value!r}; the run to resume has {found!r}")
    return network
