"""The command `isograd summary`."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isograd.cli.folders import checkpoint_file
from isograd.cli.output import JsonOption, percent, print_json, print_text
from isograd.runs import RunFile, find_run

if TYPE_CHECKING:
    from isograd.architecture import Architecture
    from isograd.network import Network


def summary(
    run: Annotated[
        str, typer.Argument(metavar="RUN|CHECKPOINT", help="As for train, or a checkpoint or its folder.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Show the layers of a run or of a trained network."""
    checkpoint = checkpoint_file(Path(run))
    if checkpoint.suffix == ".safetensors" and (checkpoint.is_file() or not Path(run).is_dir()):
        _show_checkpoint(checkpoint, as_json)
    else:
        _show_run(find_run(run), as_json)


def architecture_data(architecture: Architecture) -> dict[str, Any]:
    """The layers, their output shapes and numbers of parameters as plain data."""
    counts = dict.fromkeys(architecture.names, 0)
    for path, spec in architecture.parameters.items():
        counts[path.partition(".")[0]] += math.prod(spec.shape)
    layers = [
        {"name": name, "type": type(layer).__name__, "output_shape": list(shape), "parameters": counts[name]}
        for name, layer, shape in zip(
            architecture.names, architecture.layers, architecture.shapes, strict=True
        )
    ]
    return {
        "input_shape": list(architecture.input_shape),
        "layers": layers,
        "parameters": sum(counts.values()),
    }


def _show_run(run: RunFile, as_json: bool) -> None:
    architecture = run.architecture()
    if as_json:
        print_json(run=asdict(run), **architecture_data(architecture))
        return
    print_text(architecture.summary())
    settings = {
        "init": run.network.init,
        "cost": run.network.cost,
        "seed": run.seed,
        "dtype": run.dtype,
        **asdict(run.training),
    }
    settings["data"] = run.data.source
    print_text("\n" + ", ".join(f"{key} {value}" for key, value in settings.items() if value is not None))


def _show_checkpoint(path: Path, as_json: bool) -> None:
    from isograd import costs
    from isograd.network import Network

    network = Network.load(path)
    training = _training_data(network)
    if as_json:
        print_json(
            checkpoint=str(path),
            seed=network.seed,
            dtype=network.dtype,
            cost=costs.to_data(network.architecture.cost),
            training=training,
            **architecture_data(network.architecture),
        )
        return
    print_text(network.summary())
    print_text(f"\nseed {network.seed}, dtype {network.dtype}, cost {network.architecture.cost!r}")
    if training is not None:
        stopped = training["stopped"] or "in the middle"
        print_text(f"{training['epochs']} epochs trained on {training['backend']}, stopped: {stopped}")
        of_classes = network.architecture.cost.targets == "classes"
        for name in ("best_validation", "test"):
            value = training[f"{name}_accuracy" if of_classes else f"{name}_cost"]
            if value is not None:
                shown = f"accuracy: {percent(value)}" if of_classes else f"cost: {value:.5g}"
                print_text(f"{name.replace('_', ' ')} {shown} in epoch {training['best_epoch']}")


def _training_data(network: Network) -> dict[str, Any] | None:
    if network.training is None:
        return None
    history, backend = network.training.history, network.training.backend
    return {
        "epochs": len(history.epochs),
        "stopped": history.stopped,
        "backend": f"{backend['name']}:{backend['device']}",
        "best_epoch": history.best_epoch,
        "best_validation_accuracy": history.best_validation_accuracy,
        "test_accuracy": history.test_accuracy,
        "best_validation_cost": history.best_validation_cost,
        "test_cost": history.test_cost,
    }
