"""Run files: what is read is what was written, and every mistake is told by its key."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import runs
from isograd.architecture import Architecture
from isograd.errors import ArgumentError, FileAccessError, FileFormatError
from isograd.runs import DataTable, NetworkTable, RunFile, TrainingTable, find_run, parse_run, read_run
from isograd.training import Triangular
from isograd.training.schedules import from_data as schedule_from_data

SMALLEST = """
[network]
input_shape = [4]
layers = [{ type = "Softmax", n_out = 3 }]
[training]
epochs = 1
mini_batch_size = 10
eta = 0.1
[data]
name = "digits"
"""

texts = st.text(max_size=8)
names = st.from_regex(r"[a-z0-9_][a-z0-9_.-]{0,6}(/[a-z][a-z0-9]{0,5}){0,2}", fullmatch=True)
whole = st.integers(-(2**63), 2**63 - 1)
numbers = st.floats(allow_nan=False) | whole
layers = st.fixed_dictionaries(
    {"type": texts}, optional={"n_out": whole, "activation": texts, "window": st.lists(whole)}
)
schedules = st.fixed_dictionaries({"type": texts, "eta": numbers, "factor": numbers})


def tables(kind: type[Any], **known: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Instances of a table with every key drawn by its type, where `known` does not say how."""
    return st.builds(kind, **{field.name: ... for field in fields(kind)} | known)


run_files = tables(
    RunFile,
    format=st.just(1),
    name=names,
    network=tables(NetworkTable, layers=st.lists(layers).map(tuple), cost=texts | schedules),
    training=tables(
        TrainingTable,
        eta=numbers | texts | schedules,
        **dict.fromkeys(("lmbda", "momentum", "weight_decay", "label_smoothing", "averaging"), numbers),
        augmentation=st.lists(schedules).map(tuple),
    ),
    data=tables(DataTable, name=texts, path=st.none()) | tables(DataTable, name=st.none(), path=texts),
)


@given(run_files)
def test_a_run_is_read_as_it_was_written(run: RunFile) -> None:
    assert parse_run(run.to_toml(), "here", "unused") == run


def test_what_a_file_leaves_out_has_its_documented_default() -> None:
    run = parse_run(SMALLEST, "here", "given")
    assert run == RunFile(
        name="given",
        network=NetworkTable(input_shape=(4,), layers=({"type": "Softmax", "n_out": 3},)),
        training=TrainingTable(epochs=1, mini_batch_size=10, eta=0.1),
        data=DataTable(name="digits"),
    )
    assert (run.seed, run.dtype, run.gradient, run.backend, run.network.init) == (
        0,
        "float32",
        "symbolic",
        None,
        "chapter",
    )
    assert (run.training.lmbda, run.training.shuffle, run.training.drop_last) == (0.0, True, False)


def test_a_recipe_of_today_can_be_written_in_a_file() -> None:
    text = SMALLEST.replace("layers = [", 'layers = [{ type = "BatchNorm", momentum = 0.25 }, ').replace(
        "eta = 0.1",
        'eta = { type = "Triangular", eta = 0.1, epochs = 2 }\nweight_decay = 5e-4\n'
        "label_smoothing = 0.1\naveraging = 0.999",
    )
    run = parse_run(text, "here", "given")
    assert parse_run(run.to_toml(), "here", "given") == run
    training = run.training
    assert (training.weight_decay, training.label_smoothing, training.averaging) == (5e-4, 0.1, 0.999)
    assert not isinstance(training.eta, int | str)
    assert schedule_from_data(training.eta) == Triangular(0.1, 2)


def mistake(text: str, match: str) -> None:
    with pytest.raises(FileFormatError, match=match):
        parse_run(text, "here.toml", "given")


def test_every_unknown_key_is_named_with_the_known_one_that_is_nearest() -> None:
    mistake(
        "sed = 1\n" + SMALLEST.replace("eta =", "eat ="),
        r"here\.toml: unknown key sed \(did you mean seed\?\)",
    )
    mistake(
        SMALLEST.replace("epochs = 1", "epoch = 1\nepochs = 1\nbackendd = 2"),
        r"unknown keys training\.epoch \(did you mean epochs\?\), training\.backendd",
    )


def test_a_known_key_in_the_wrong_table_is_shown_the_right_one() -> None:
    mistake("epochs = 1\n" + SMALLEST, r"unknown key epochs \(did you mean training\.epochs\?\)")
    mistake(SMALLEST + "seed = 3", r"unknown key data\.seed \(did you mean seed\?\)")


@pytest.mark.parametrize("key", ["input_shape", "layers", "epochs", "mini_batch_size", "eta"])
def test_a_missing_key_is_named(key: str) -> None:
    text = "\n".join(line for line in SMALLEST.splitlines() if not line.startswith(key))
    mistake(text, rf"here\.toml: (network|training)\.{key} missing")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("epochs = '1'", r"training\.epochs is '1'; expected a whole number"),
        ("epochs = 1.0", r"training\.epochs is 1\.0; expected a whole number"),
        ("epochs = true", r"training\.epochs is True; expected a whole number"),
        ("eta = [1]", r"training\.eta is \[1\]; expected a number or a text or a table"),
        ("eta = true", r"training\.eta is True; expected a number or a text or a table"),
        ("input_shape = [4.0]", r"network\.input_shape is \[4\.0\]; expected a list of whole numbers"),
        ("layers = [1]", r"network\.layers is \[1\]; expected a list of tables"),
        ("mini_batch_size = 10\nshuffle = 1", r"training\.shuffle is 1; expected true or false"),
        (
            "mini_batch_size = 10\nearly_stopping = 1.5",
            r"training\.early_stopping is 1\.5; expected a whole number",
        ),
    ],
)
def test_a_value_of_the_wrong_type_is_named_with_its_key(line: str, message: str) -> None:
    key = line.split(" ")[0]
    text = "\n".join(line if old.startswith(key) else old for old in SMALLEST.splitlines())
    mistake(text, message)


@pytest.mark.parametrize("table", ["network", "training", "data"])
def test_a_table_must_be_a_table(table: str) -> None:
    without = re.sub(rf"\[{table}\]\n([a-z].*\n)+", "", SMALLEST)
    assert f"[{table}]" not in without
    mistake(f"{table} = 3\n{without}", rf"here\.toml: {table} is 3; expected a table")


def test_a_newer_format_is_refused_before_its_new_keys_are() -> None:
    mistake("format = 2\nnovelty = 1\n" + SMALLEST, "here.toml: format is 2, which is for a newer isograd")


@pytest.mark.parametrize("found", ["0", "-1", "true", "1.5", "'1'"])
def test_a_format_that_never_was_is_refused(found: str) -> None:
    mistake(f"format = {found}\n" + SMALLEST, "format is")


@pytest.mark.parametrize("text", ["[", "a = 1\na = 2", "a = " + "[" * 5000, 'seed = 1\nseed = "', "\x00"])
def test_what_is_no_toml_is_refused_in_one_error(text: str) -> None:
    mistake(text, "here.toml: no TOML that can be read")


@pytest.mark.parametrize("name", ["", "..", "../x", "/x", "a//b", "a/../b", "a b", "~", "a/.", "-x", "a\\b"])
def test_a_name_that_could_lead_out_of_the_folder_for_runs_is_refused(name: str) -> None:
    run = parse_run(SMALLEST, "here", "given")
    with pytest.raises(FileFormatError, match="name is"):
        replace(run, name=name)


def test_data_are_either_a_name_or_a_path() -> None:
    mistake(SMALLEST + 'path = "x"', "data has both name and path or neither")
    mistake(SMALLEST.replace('name = "digits"', ""), "data has both name and path or neither")


@pytest.mark.parametrize(("given", "name"), [("mnist", "mnist"), ("my-data_2", "my-data_2")])
def test_a_bare_word_is_a_data_set_and_everything_else_a_path(given: str, name: str, tmp_path: Path) -> None:
    assert DataTable.of(given) == DataTable(name=name)
    for path in (f"./{given}", f"{given}.npz", str(tmp_path / given)):
        assert DataTable.of(path) == DataTable(path=str(Path(path).absolute()))


def test_a_path_in_a_file_is_seen_from_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    assert read_run(folder / "run.toml").data.source == folder / "data.npz"


def test_a_file_without_a_name_has_its_own_as_the_runs(folder: Path) -> None:
    (folder / "My run!.toml").write_text(SMALLEST)
    assert read_run(folder / "My run!.toml").name == "My_run_"


def test_files_that_can_not_be_read_say_so(folder: Path) -> None:
    with pytest.raises(FileAccessError, match=r"nothing\.toml: can not be read"):
        find_run("nothing.toml")
    (folder / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(FileFormatError, match="no UTF-8"):
        find_run("bytes.toml")
    (folder / "huge.toml").write_bytes(b"#" * (2**20 + 1))
    with pytest.raises(FileFormatError, match="more than 1,048,576 bytes"):
        find_run("huge.toml")


def test_an_unknown_preset_is_answered_with_the_likely_ones() -> None:
    with pytest.raises(ArgumentError, match="did you mean chapter6/dbl_conv_relu"):
        find_run("chapter6/dbl_conv_rleu")
    with pytest.raises(ArgumentError, match="did you mean chapter6/shallow"):
        find_run("shallow")
    with pytest.raises(
        ArgumentError, match=r"neither a file nor a preset; The presets: chapter6/basic_conv, "
    ):
        find_run("qqqqqqqqqqqqqqqq")


def test_a_bad_layer_is_named_with_its_position_and_a_bad_schedule_with_its_key() -> None:
    run = parse_run(
        SMALLEST.replace("Softmax", "Softmin").replace("0.1", "{ type = 'Never', eta = 1 }"), "x", "tiny"
    )
    with pytest.raises(FileFormatError, match=r"tiny: network\.layers\[0\]: type is 'Softmin'"):
        run.layers()
    with pytest.raises(FileFormatError, match=r"tiny: training\.eta has type 'Never'"):
        run.eta()


def test_a_schedule_is_read_with_its_parameters() -> None:
    run = parse_run(
        SMALLEST.replace("0.1", "{ type = 'StepDecay', eta = 1.0, factor = 0.5, every = 2 }"), "x", "tiny"
    )
    eta = run.eta()
    assert callable(eta)
    assert [eta(epoch) for epoch in range(5)] == [1.0, 1.0, 0.5, 0.5, 0.25]


# The chapter's table of experiments, those on the data as they are: epochs, eta, lambda, and the number of
# weights and biases that follows from its layers (20 maps of 5 x 5 windows over 1 channel: 5 * 5 * 20 + 20).
CONV_1, CONV_2 = 5 * 5 * 1 * 20 + 20, 5 * 5 * 20 * 40 + 40
FLAT_1, FLAT_2 = 20 * 12 * 12, 40 * 4 * 4
CHAPTER = {
    "shallow": (60, 0.1, 0.0, 784 * 100 + 100 + 1010),
    "basic_conv": (60, 0.1, 0.0, CONV_1 + FLAT_1 * 100 + 100 + 1010),
    "omit_fc": (60, 0.1, 0.0, CONV_1 + FLAT_1 * 10 + 10),
    "dbl_conv": (60, 0.1, 0.0, CONV_1 + CONV_2 + FLAT_2 * 100 + 100 + 1010),
    "dbl_conv_tanh": (60, 0.1, 0.0, CONV_1 + CONV_2 + FLAT_2 * 100 + 100 + 1010),
    "dbl_conv_relu": (60, 0.03, 0.1, CONV_1 + CONV_2 + FLAT_2 * 100 + 100 + 1010),
    **{
        name: (60, 0.03, 0.1, CONV_1 + CONV_2 + (FLAT_2 + 1) * n + (n + 1) * n * extra + (n + 1) * 10)
        for family, extra in (("expanded", 0), ("double_fc", 1))
        for name, n in ((family, 100), (f"{family}_300", 300), (f"{family}_1000", 1000))
    },
    "double_fc_dropout": (40, 0.03, 0.0, CONV_1 + CONV_2 + FLAT_2 * 1000 + 1000 + 1001000 + 10010),
}
EXPANDED = [name for name in CHAPTER if name.startswith(("expanded", "double_fc"))]
ACTIVATIONS = {"dbl_conv_tanh": "tanh", "dbl_conv_relu": "relu", **dict.fromkeys(EXPANDED, "relu")}


# Of chapter 5, on the unstable gradient: the activation, and the scheme that suits it.
DEEP = {"deep_sigmoid": ("sigmoid", "n_in"), "deep_relu": ("relu", "he")}


def test_the_presets_are_the_chapters_experiments_and_the_fast_network() -> None:
    chapter = [f"chapter6/{name}" for name in (*CHAPTER, *DEEP)]
    assert runs.presets() == tuple(sorted([*chapter, "mnist/fast"]))


def test_the_fast_network_has_fixed_epochs_and_looks_at_the_test_data_once() -> None:
    run = find_run("mnist/fast")
    eta = run.eta()
    assert isinstance(eta, Triangular)
    assert eta.epochs == run.training.epochs
    assert (run.training.tested, run.training.early_stopping, run.data.expanded) == ("last", None, False)
    assert Architecture(run.layers(), run.network.input_shape, run.dtype).output_shape == (10,)
    assert [type(spec).__name__ for spec in run.augmentation()] == ["Affine"]


@pytest.mark.parametrize("name", DEEP)
def test_a_deep_network_is_that_of_chapter_5_and_watched(name: str) -> None:
    run = find_run(f"chapter6/{name}")
    assert run.name == f"chapter6/{name}"
    assert (run.training.diagnostics, run.training.momentum, run.training.lmbda) == (1000, 0.0, 0.0)
    architecture = Architecture(run.layers(), run.network.input_shape, run.dtype)
    assert architecture.shapes == ((30,), (30,), (30,), (30,), (10,))
    activations = {layer.activation for layer in run.layers() if hasattr(layer, "activation")}
    assert (activations, run.network.init) == ({DEEP[name][0]}, DEEP[name][1])


@pytest.mark.parametrize("name", CHAPTER)
def test_a_preset_is_the_chapters_experiment(name: str) -> None:
    run = find_run(f"chapter6/{name}")
    epochs, eta, lmbda, parameters = CHAPTER[name]
    assert run.name == f"chapter6/{name}"
    assert run.summary
    assert (run.training.epochs, run.eta(), run.training.lmbda) == (epochs, eta, lmbda)
    assert run.data.expanded == (name in EXPANDED)
    assert run.augmentation() == ()
    assert (run.training.mini_batch_size, run.network.init, run.data.name) == (10, "chapter", "mnist")
    architecture = Architecture(run.layers(), run.network.input_shape, run.dtype)
    assert sum(math.prod(spec.shape) for spec in architecture.parameters.values()) == parameters
    activations = {layer.activation for layer in run.layers() if hasattr(layer, "activation")}
    assert activations == {ACTIVATIONS.get(name, "sigmoid")}
    p_dropout = [getattr(layer, "p_dropout", 0.0) for layer in run.layers()]
    assert [p for p in p_dropout if p] == ([0.5] * 3 if name == "double_fc_dropout" else [])


def test_reading_run_files_imports_no_numpy() -> None:
    code = (
        "import sys; from isograd import runs; [runs.read_preset(name) for name in runs.presets()];"
        "assert runs.presets() and 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
