"""`isograd train`: what it writes and prints, whose word counts, how it goes on, and how it ends."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from isograd import plugins
from isograd.cli.app import app
from isograd.cli.output import print_json
from isograd.data import Dataset
from isograd.network import Network
from isograd.runs import parse_run, read_run
from isograd.testing import ReferenceBackend
from isograd.training import History

Invoke = Callable[..., Any]


def events(result: Any) -> list[dict[str, Any]]:
    """The JSON objects on stdout, which holds nothing else."""
    return [json.loads(line, parse_constant=pytest.fail) for line in result.stdout.splitlines()]


def test_a_run_leaves_checkpoint_run_file_and_history_in_its_folder(invoke: Invoke, folder: Path) -> None:
    invoke("train", "run.toml")
    out = folder / "runs" / "tiny"
    assert sorted(path.name for path in out.iterdir()) == [
        "checkpoint.safetensors",
        "history.json",
        "run.toml",
    ]
    history = History.from_json((out / "history.json").read_text())
    assert (len(history.epochs), history.stopped) == (2, "completed")
    training = Network.load(out / "checkpoint.safetensors").training
    assert training is not None
    assert training.history == history


def test_the_run_file_in_the_folder_has_every_setting_resolved(invoke: Invoke, folder: Path) -> None:
    invoke("train", "run.toml", "--eta", "0.25", "--seed", "7")
    saved = read_run(folder / "runs" / "tiny" / "run.toml")
    expected = read_run(folder / "run.toml").override(
        {"training.eta": 0.25, "seed": 7, "backend": "reference:cpu"}
    )
    assert saved == expected


def test_every_recipe_of_a_run_file_reaches_the_run(invoke: Invoke, folder: Path) -> None:
    recipe = {"weight_decay": 0.01, "label_smoothing": 0.25, "averaging": 0.75, "momentum": 0.5}
    lines = "".join(f"{name} = {value}\n" for name, value in recipe.items())
    text = (folder / "run.toml").read_text().replace("eta = 0.5\n", f"eta = 0.5\n{lines}")
    (folder / "run.toml").write_text(text)
    invoke("train", "run.toml")
    training = Network.load(folder / "runs" / "tiny" / "checkpoint.safetensors").training
    assert training is not None
    assert {name: training.agreement[name] for name in recipe} == recipe


def test_the_run_file_in_the_folder_repeats_the_run(invoke: Invoke, folder: Path) -> None:
    invoke("train", "run.toml", "--init", "he", "--momentum", "0.5", "--out", "first")
    invoke("train", "first", "--out", "second")
    first, second = (Network.load(folder / name / "checkpoint.safetensors") for name in ("first", "second"))
    for path, array in first.parameters.items():
        np.testing.assert_array_equal(second.parameters[path], array)


def test_output_has_the_network_a_line_for_each_epoch_and_the_result(invoke: Invoke, folder: Path) -> None:
    result = invoke("train", "run.toml")
    out = folder / "runs" / "tiny"
    network = Network.load(out / "checkpoint.safetensors")
    history = History.from_json((out / "history.json").read_text())
    assert result.stdout.startswith(network.summary())
    for record in history.epochs:
        shown = f"epoch {record.epoch}: cost {record.cost:.5g}, "
        assert f"{shown}validation {100 * (record.validation_accuracy or 0):.2f} %" in result.stdout
    assert history.test_accuracy is not None
    assert (
        f"test accuracy in epoch {history.best_epoch}: {100 * history.test_accuracy:.2f} %" in result.stdout
    )
    assert "checkpoint: runs/tiny/checkpoint.safetensors" in result.stdout
    assert result.stderr == ""


def test_diagnostics_are_measured_shown_and_change_nothing(invoke: Invoke, folder: Path) -> None:
    invoke("train", "run.toml", "--out", "plain")
    result = invoke("train", "run.toml", "--diagnostics", "1000", "--out", "watched")
    plain, watched = (Network.load(folder / name / "checkpoint.safetensors") for name in ("plain", "watched"))
    for path, array in plain.parameters.items():
        np.testing.assert_array_equal(watched.parameters[path], array)
    assert watched.training is not None
    for record in watched.training.history.epochs:
        shown = f"cost {record.cost:.5g}, training {100 * record.measured['training_accuracy']:.2f} %, "
        assert shown in result.stdout
        assert {"gradient_norm/0.weight", "saturated/0"} < record.measured.keys()
    with np.load(folder / "data.npz") as data:
        training = Dataset(data["x_train"], data["y_train"], scale=1 / 256)
    assert record.measured["training_accuracy"] == watched.accuracy(training)
    again = events(invoke("train", "watched", "--resume", "--epochs", "3", "--json"))
    assert again[1]["measured"].keys() == record.measured.keys()
    written = History.from_json((folder / "watched" / "history.json").read_text())
    assert [record.measured for record in written.epochs[:2]] == [
        record.measured for record in watched.training.history.epochs
    ]


def test_diagnostics_of_no_example_are_refused_before_there_is_a_folder(invoke: Invoke, folder: Path) -> None:
    (folder / "none.toml").write_text(
        (folder / "run.toml").read_text().replace("eta", "diagnostics = 0\neta")
    )
    assert "training.diagnostics is 0; expected at least 1" in invoke("train", "none.toml", code=1).stderr
    assert not (folder / "runs").exists()


def test_the_test_accuracy_is_printed_only_for_the_best_epochs_so_far(invoke: Invoke, folder: Path) -> None:
    with np.load(folder / "data.npz") as data:
        arrays = dict(data)
    # With wrong labels, what is learned makes the accuracy worse.
    arrays["y_validation"] = (arrays["y_validation"] + 1) % 3
    np.savez(folder / "data.npz", **arrays)
    result = invoke("train", "run.toml", "--epochs", "6", "--eta", "1")
    history = History.from_json((folder / "runs" / "tiny" / "history.json").read_text())
    lines = [line for line in result.stdout.splitlines() if line.startswith("epoch ")]
    shown = [", test " in line for line in lines]
    assert shown == [record.test_accuracy is not None for record in history.epochs]
    assert not all(shown)


def test_json_output_is_one_object_a_line_and_nothing_else(invoke: Invoke, folder: Path) -> None:
    start, *epochs, end = events(invoke("train", "run.toml", "--json"))
    assert (start["event"], end["event"]) == ("start", "end")
    assert [epoch["epoch"] for epoch in epochs] == [0, 1]
    assert {epoch["event"] for epoch in epochs} == {"epoch"}
    history = json.loads((folder / "runs" / "tiny" / "history.json").read_text())
    assert [{**record, "event": "epoch"} for record in history["epochs"]] == epochs
    assert start["parameters"] == (16 * 5 + 5) + (5 * 3 + 3)
    assert start["run"]["backend"] == "reference:cpu"
    best = History.from_json(json.dumps(history))
    assert (end["best_epoch"], end["test_accuracy"]) == (best.best_epoch, best.test_accuracy)
    assert Path(end["checkpoint"]).is_file()


def test_data_without_validation_and_test_are_trained_on(invoke: Invoke, folder: Path) -> None:
    with np.load(folder / "data.npz") as data:
        np.savez(folder / "alone.npz", x=data["x_train"], y=data["y_train"])
    *_, epoch, end = events(invoke("train", "run.toml", "--data", "alone.npz", "--json"))
    assert epoch["validation_accuracy"] is None
    assert end["best_validation_accuracy"] is None
    held_out = events(invoke("train", "run.toml", "--data", "alone.npz", "--validation-size", "12", "--json"))
    assert held_out[-2]["validation_accuracy"] is not None


# Each setting: its option, its table in a run file, some values, and its default.
SETTINGS: dict[str, tuple[str, str, list[Any], Any]] = {
    "seed": ("--seed", "", [1, 2, 3], 0),
    "dtype": ("--dtype", "", ["float64", "float32"], "float32"),
    "gradient": ("--gradient", "", ["symbolic"], "symbolic"),
    "init": ("--init", "network", ["n_in", "he", "glorot"], "chapter"),
    "lmbda": ("--lmbda", "training", [0.25, 0.5, 1.5], 0.0),
    "momentum": ("--momentum", "training", [0.25, 0.5, 0.75], 0.0),
    "early_stopping": ("--early-stopping", "training", [7, 8, 9], None),
    "checkpoint_every": ("--checkpoint-every", "training", [3, 4, 5], None),
    "diagnostics": ("--diagnostics", "training", [1, 30, 1000], None),
}
REQUIRED: dict[str, tuple[str, list[Any]]] = {
    "epochs": ("--epochs", [1, 2]),
    "mini_batch_size": ("--mini-batch-size", [14, 21, 42]),
    "eta": ("--eta", [0.125, 0.5, 2.0]),
}
ENVIRONMENT = {"seed": "ISOGRAD_SEED"}


@settings(max_examples=20)
@given(st.data())
def test_an_option_goes_before_the_environment_before_the_file_before_the_default(
    data: st.DataObject,
) -> None:
    options: list[str] = []
    environment: dict[str, str] = {}
    tables: dict[str, list[str]] = {"": [], "network": [], "training": []}
    expected: dict[str, Any] = {}
    for name, (option, table, values, default) in SETTINGS.items():
        expected[name] = default
        if data.draw(st.booleans(), label=f"{name} in the file"):
            expected[name] = data.draw(st.sampled_from(values))
            tables[table].append(f"{name} = {json.dumps(expected[name])}")
        if name in ENVIRONMENT and data.draw(st.booleans(), label=f"{name} in the environment"):
            expected[name] = data.draw(st.sampled_from(values))
            environment[ENVIRONMENT[name]] = str(expected[name])
        if data.draw(st.booleans(), label=f"{name} as an option"):
            expected[name] = data.draw(st.sampled_from(values))
            options += [option, str(expected[name])]
    for name, (option, values) in REQUIRED.items():
        expected[name] = data.draw(st.sampled_from(values))
        tables["training"].append(f"{name} = {expected[name]}")
        if data.draw(st.booleans(), label=f"{name} as an option"):
            expected[name] = data.draw(st.sampled_from(values))
            options += [option, str(expected[name])]
    text = "\n".join(
        [
            *tables[""],
            "[data]\npath = 'data.npz'\n[network]\ninput_shape = [16]",
            "layers = [{ type = 'Softmax', n_out = 3 }]",
            *tables["network"],
            "[training]",
            *tables["training"],
        ]
    )
    shutil.rmtree("runs", ignore_errors=True)
    Path("drawn.toml").write_text(text)
    result = CliRunner().invoke(app, ["train", "drawn.toml", *options], env=environment)
    assert result.exit_code == 0, result.output
    saved = read_run(Path("runs/drawn/run.toml"))
    found = {name: _find(saved, name) for name in expected}
    assert found == expected
    network = Network.load("runs/drawn/checkpoint.safetensors")
    assert (network.seed, network.dtype, network.init) == (
        expected["seed"],
        expected["dtype"],
        expected["init"],
    )
    assert network.training is not None
    agreement = network.training.agreement
    for name in ("lmbda", "momentum", "early_stopping", "mini_batch_size", "eta", "gradient"):
        assert agreement[name] == expected[name]


def _find(run: Any, name: str) -> Any:
    return next(getattr(table, name) for table in (run.training, run.network, run) if hasattr(table, name))


class Other(ReferenceBackend):
    name = "other"


class Third(ReferenceBackend):
    name = "third"


@pytest.mark.parametrize("in_file", [True, False])
@pytest.mark.parametrize("in_environment", [True, False])
@pytest.mark.parametrize("as_option", [True, False])
def test_the_backend_too_is_that_of_option_environment_file_or_default(
    in_file: bool, in_environment: bool, as_option: bool, invoke: Invoke, folder: Path
) -> None:
    class Option(ReferenceBackend):
        name = "option"

    for backend in (Other, Third, Option):
        plugins.register_backend(backend.name, backend())
    try:
        if in_file:
            run = folder / "run.toml"
            run.write_text("backend = 'other'\n" + run.read_text())
        arguments = ["--backend", "option:cpu"] if as_option else []
        env = {"ISOGRAD_BACKEND": "third"} if in_environment else {}
        invoke("train", "run.toml", *arguments, env=env)
    finally:
        for backend in (Other, Third, Option):
            plugins.unregister(backend.name)
    expected = "option" if as_option else "third" if in_environment else "other" if in_file else "reference"
    assert read_run(folder / "runs" / "tiny" / "run.toml").backend == f"{expected}:cpu"
    training = Network.load(folder / "runs" / "tiny" / "checkpoint.safetensors").training
    assert training is not None
    assert training.backend["name"] == expected


def test_resume_goes_on_to_the_same_bits(invoke: Invoke, folder: Path) -> None:
    options = ("--momentum", "0.5", "--init", "n_in", "--seed", "5")
    invoke("train", "run.toml", *options, "--epochs", "4", "--out", "whole")
    invoke("train", "run.toml", *options, "--epochs", "1", "--out", "parts")
    result = invoke("train", "run.toml", "--resume", "--epochs", "3", "--out", "parts", "--json")
    assert [event["epoch"] for event in events(result)[1:-1]] == [1, 2]
    invoke("train", "parts", "--resume", "--epochs", "4")
    whole, parts = (Network.load(folder / name / "checkpoint.safetensors") for name in ("whole", "parts"))
    for path, array in whole.parameters.items():
        np.testing.assert_array_equal(parts.parameters[path], array)
    epochs = [
        json.loads((folder / name / "history.json").read_text())["epochs"] for name in ("whole", "parts")
    ]
    for one, other in zip(*epochs, strict=True):
        for key in one.keys() - {"seconds", "images_per_second"}:
            assert one[key] == other[key]
    assert read_run(folder / "parts" / "run.toml").training.epochs == 4


def test_resume_takes_the_latest_folder_of_that_name(invoke: Invoke, folder: Path) -> None:
    invoke("train", "run.toml")
    invoke("train", "run.toml", "--seed", "3")
    invoke("train", "run.toml", "--resume", "--epochs", "3")
    lengths = [
        len(History.from_json((folder / "runs" / name / "history.json").read_text()).epochs)
        for name in ("tiny", "tiny-2")
    ]
    assert lengths == [2, 3]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--seed", "9"), "seed is 9; the run to resume has 0"),
        (("--dtype", "float64"), "dtype is 'float64'; the run to resume has 'float32'"),
        (("--init", "he"), "network.init is 'he'; the run to resume has 'chapter'"),
        (("--eta", "0.25"), "eta is 0.25; the run to resume has 0.5"),
        (("--epochs", "1"), "epochs is 1; the run to resume"),
    ],
)
def test_resume_refuses_what_would_be_another_run(
    option: tuple[str, str], message: str, invoke: Invoke, folder: Path
) -> None:
    invoke("train", "run.toml")
    before = {path.name: path.read_bytes() for path in (folder / "runs" / "tiny").iterdir()}
    assert message in invoke("train", "run.toml", "--resume", *option, code=1).stderr
    assert {path.name: path.read_bytes() for path in (folder / "runs" / "tiny").iterdir()} == before


def test_resume_refuses_an_edited_network(invoke: Invoke, folder: Path) -> None:
    invoke("train", "run.toml")
    saved = folder / "runs" / "tiny" / "run.toml"
    saved.write_text(saved.read_text().replace("n_out = 5", "n_out = 6"))
    assert "network.layers is" in invoke("train", "run.toml", "--resume", code=1).stderr


def test_resume_without_a_checkpoint_says_where_it_looked(invoke: Invoke) -> None:
    assert "no checkpoint in runs/tiny" in invoke("train", "run.toml", "--resume", code=1).stderr
    assert (
        "no checkpoint in there" in invoke("train", "run.toml", "--resume", "--out", "there", code=1).stderr
    )


def test_resume_refuses_the_folder_of_another_run(invoke: Invoke, folder: Path) -> None:
    invoke("train", "run.toml", "--out", "here")
    run = folder / "run.toml"
    run.write_text(run.read_text().replace('"tiny"', '"other"'))
    stderr = invoke("train", "run.toml", "--resume", "--out", "here", code=1).stderr
    assert "here holds the run 'tiny'; RUN is 'other'" in stderr


def test_no_run_overwrites_another(invoke: Invoke, folder: Path) -> None:
    for _ in range(3):
        invoke("train", "run.toml", "--epochs", "1")
    assert sorted(path.name for path in (folder / "runs").iterdir()) == ["tiny", "tiny-2", "tiny-3"]
    content = (folder / "runs" / "tiny" / "checkpoint.safetensors").read_bytes()
    stderr = invoke("train", "run.toml", "--out", "runs/tiny", code=1).stderr
    assert "--out is 'runs/tiny', which holds a run already" in stderr
    assert (folder / "runs" / "tiny" / "checkpoint.safetensors").read_bytes() == content


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "nothing"), "error: RUN is 'nothing', neither a file nor a preset"),
        (("train", "nothing.toml"), "error: nothing.toml: can not be read: No such file or directory"),
        (("train", "run.toml", "--backend", "abacus"), "error: argument backend names the backend 'abacus'"),
        (("train", "run.toml", "--data", "nothing.npz"), "nothing.npz: can not be read"),
        (("train", "run.toml", "--lmbda", "-1"), "error: lmbda is -1.0; expected"),
        (("train", "run.toml", "--eta", "nan"), "eta is nan; expected"),
        (("train", "run.toml", "--init", "nonsense"), "nonsense"),
        (("train", "run.toml", "--mini-batch-size", "100"), "error: mini_batch_size is 100"),
        (("train", "run.toml", "--gradient", "native"), "native"),
        (("train", "run.toml", "--threads", "1"), "threads"),
        (("train", "run.toml", "--out", "data.npz/x"), "data.npz/x: can not be made"),
    ],
)
def test_an_error_is_one_line_exit_code_1_and_leaves_nothing(
    arguments: tuple[str, ...], message: str, invoke: Invoke, folder: Path
) -> None:
    result = invoke(*arguments, code=1)
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("error: ")
    assert result.stdout == ""
    assert not list(folder.glob("runs/*"))


@pytest.mark.parametrize(
    "arguments", [("--traceback", "train", "nothing"), ("train", "nothing", "--traceback")]
)
def test_traceback_shows_where_an_error_arose(arguments: tuple[str, ...], invoke: Invoke) -> None:
    stderr = invoke(*arguments, code=1).stderr
    assert stderr.startswith("Traceback")
    assert stderr.splitlines()[-1].startswith("error: RUN is 'nothing'")


@pytest.mark.parametrize(
    "arguments",
    [
        ("train",),
        ("train", "run.toml", "--epochs", "0"),
        ("train", "run.toml", "--epochs", "many"),
        ("train", "run.toml", "--dtype", "float16"),
        ("train", "run.toml", "--gradient", "numerical"),
        ("train", "run.toml", "--nonsense"),
        ("train", "run.toml", "--out", "run.toml"),
        ("nonsense",),
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: tuple[str, ...], invoke: Invoke, folder: Path) -> None:
    result = invoke(*arguments, code=2)
    assert "Usage" in result.stderr
    assert not (folder / "runs").exists()


def test_a_wrong_seed_in_the_environment_is_wrong_usage(invoke: Invoke) -> None:
    result = invoke("train", "run.toml", code=2, env={"ISOGRAD_SEED": "lucky"})
    assert "ISOGRAD_SEED" in result.stderr


def test_a_cost_that_is_not_finite_is_exit_code_3_and_keeps_the_last_checkpoint(
    invoke: Invoke, folder: Path
) -> None:
    run = folder / "run.toml"
    schedule = "{ type = 'ExponentialDecay', eta = 0.5, factor = 1e36 }"
    run.write_text(run.read_text().replace("eta = 0.5", f"eta = {schedule}"))
    result = invoke("train", "run.toml", "--lmbda", "1", code=3)
    assert "epoch 1, step " in result.stderr
    assert "NaN or infinite" in result.stderr
    assert result.stderr.count("\n") == 1
    network = Network.load(folder / "runs" / "tiny" / "checkpoint.safetensors")
    assert network.training is not None
    assert len(network.training.history.epochs) == 1
    assert all(np.isfinite(array).all() for array in network.parameters.values())
    history = History.from_json((folder / "runs" / "tiny" / "history.json").read_text())
    assert len(history.epochs) == 1


def test_checkpoint_every_writes_within_an_epoch(invoke: Invoke, folder: Path) -> None:
    run = folder / "run.toml"
    schedule = "{ type = 'ExponentialDecay', eta = 0.5, factor = 1e36 }"
    run.write_text(run.read_text().replace("eta = 0.5", f"eta = {schedule}"))
    invoke("train", "run.toml", "--lmbda", "1", "--checkpoint-every", "2", code=3)
    training = Network.load(folder / "runs" / "tiny" / "checkpoint.safetensors").training
    assert training is not None
    # The sixth step of the run: an epoch has five, and after the sixth comes what is not finite.
    assert (training.epoch, training.step) == (1, 1)


def test_the_end_of_a_run_that_is_not_finite_is_an_event_too(invoke: Invoke, folder: Path) -> None:
    run = folder / "run.toml"
    schedule = "{ type = 'ExponentialDecay', eta = 0.5, factor = 1e36 }"
    run.write_text(run.read_text().replace("eta = 0.5", f"eta = {schedule}"))
    *_, end = events(invoke("train", "run.toml", "--lmbda", "1", "--json", code=3))
    assert (end["event"], end["stopped"], end["epoch"]) == ("end", "not finite", 1)
    assert end["layer"]


def test_early_stopping_is_told(invoke: Invoke, folder: Path) -> None:
    with np.load(folder / "data.npz") as data:
        arrays = dict(data)
    # Validation labels that no input can tell: their accuracy does not improve for long.
    arrays["y_validation"] = np.arange(14) % 3
    arrays["x_validation"] = np.zeros_like(arrays["x_validation"])
    np.savez(folder / "data.npz", **arrays)
    result = invoke("train", "run.toml", "--epochs", "50", "--early-stopping", "2")
    assert "stopped: early stopping" in result.stdout
    history = History.from_json((folder / "runs" / "tiny" / "history.json").read_text())
    assert history.stopped == "early stopping"


def test_presets_are_completed(invoke: Invoke) -> None:
    from isograd.cli.options import run_names

    assert "chapter6/dbl_conv_relu" in run_names("chap")
    assert run_names("nonsense") == []


def test_the_saved_run_file_parses_by_itself(invoke: Invoke, folder: Path) -> None:
    invoke("train", "run.toml")
    text = (folder / "runs" / "tiny" / "run.toml").read_text()
    assert parse_run(text, "here", "unused").data.path == str(folder / "data.npz")


def test_a_file_that_can_not_be_written_is_an_error(invoke: Invoke, folder: Path) -> None:
    (folder / "out" / "history.json").mkdir(parents=True)
    stderr = invoke("train", "run.toml", "--out", "out", code=1).stderr
    assert "out/history.json: can not be written" in stderr
    assert not (folder / "out" / "history.json.tmp").exists()


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner),
)


@given(st.dictionaries(st.from_regex("[a-z]+", fullmatch=True), plain))
def test_whatever_is_printed_as_json_is_one_line_that_parses(values: dict[str, Any]) -> None:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        print_json(**values)
    assert output.getvalue().count("\n") == 1
    found = json.loads(output.getvalue(), parse_constant=pytest.fail)
    assert found.keys() == values.keys()
    assert all(found[name] == value for name, value in values.items() if isinstance(value, str | int))
