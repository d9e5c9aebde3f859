"""The script of the chapter's experiments: every function, with few images and one epoch."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from isograd.data import Dataset, DatasetSplits

SCRIPT = Path(__file__).resolve().parents[3] / "examples" / "chapter6" / "conv.py"

# What an SGD of one epoch of fewer than 1,000 mini-batches prints.
RUN = r"""Training mini-batch number 0
Epoch 0: validation accuracy (\d+\.\d\d%)
This is the best validation accuracy to date\.
The corresponding test accuracy is (\d+\.\d\d%)
Finished training network\.
Best validation accuracy of \1 obtained at iteration {last}
Corresponding test accuracy of \2
"""


pytestmark = pytest.mark.usefixtures("reference_by_default")


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    """The script as a module, with 10 images to train and 10 each to validate and to test."""
    generator = np.random.default_rng(0)
    parts = [
        Dataset(generator.integers(0, 256, (10, 1, 28, 28), np.uint8), np.arange(10), scale=1 / 256)
        for _ in range(3)
    ]
    spec = importlib.util.spec_from_file_location("conv", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("isograd.network3.data.load_dataset", {"mnist": DatasetSplits(*parts)}.__getitem__)
        spec.loader.exec_module(module)
        yield module


def runs(text: str, titles: list[str], last: int = 0) -> bool:
    """Whether the text is a title and a run, for each title."""
    rest = text
    for title in titles:
        found = re.match(re.escape(title) + "\n" + RUN.format(last=last), rest)
        if found is None:
            return False
        rest = rest[found.end() :]
    return not rest


LAMBDAS = ["1e-05", "0.0001", "0.001", "0.01", "0.1", "1.0", "10.0", "100.0"]
DOUBLE = "Conv + Conv + FC num 0"
EXPERIMENTS = {
    "shallow": (["A shallow net with 100 hidden neurons"], 0),
    "basic_conv": (["Conv + FC architecture"], 0),
    "omit_FC": (["Conv only, no FC"], 0),
    "dbl_conv": (["Conv + Conv + FC architecture"], 0),
    "regularized_dbl_conv": ([f"{DOUBLE}, with regularization {lmbda}" for lmbda in LAMBDAS], 0),
    "dbl_conv_relu": ([f"{DOUBLE}, relu, with regularization {lmbda}" for lmbda in ["0.0", *LAMBDAS]], 0),
    "expanded_data": (["Training with expanded data, 100 neurons in the FC layer, run num 0"], 4),
    "expanded_data_double_fc": (["Training with expanded data, 100 neurons in two FC layers, run num 0"], 4),
}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_prints_its_runs_as_the_listing_does(
    name: str, script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    script.main(["--runs", "1", "--epochs", "1", name])
    titles, last = EXPERIMENTS[name]
    assert runs(capsys.readouterr().out, titles, last)


def test_networks_with_dropout_vote_and_their_errors_and_filters_are_drawn(
    script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    nets = script.double_fc_dropout(0.5, 0.5, 0.5, 1, epochs=1)
    title = "\n\nTraining using a dropout network with parameters  0.5 0.5 0.5\n"
    assert runs(capsys.readouterr().out, [f"{title}Training with expanded data, run num 0"], 4)
    places, given = script.ensemble(nets * 2)
    test_y = script.test_data[1].eval()
    predicted = nets[0].test_mb_predictions(0)
    assert places == np.flatnonzero(predicted != test_y).tolist()
    assert given == predicted[places].tolist()
    assert capsys.readouterr().out == f"Accuracy is {1 - len(places) / 10:.2%}\n"
    figure = script.plot_errors(places, given)
    assert [text.get_text() for axes in figure.axes for text in axes.texts] == [
        str(label) for pair in zip(test_y[places], given, strict=True) for label in pair
    ]
    assert len(script.plot_errors(places).axes) == len(places)
    for layer, (x, y) in enumerate([(5, 4), (8, 5)]):
        axes = script.plot_filters(nets[0], layer, x, y).axes
        assert len(axes) == x * y
        filters = nets[0].layers[layer].w.eval()
        np.testing.assert_array_equal(axes[-1].images[0].get_array(), filters[-1][0])


def test_all_of_the_book_s_experiments_are_run_in_its_order(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    called: list[Any] = []

    def recorded(name: str, result: object = None) -> Any:
        def call(*arguments: object, **named: object) -> object:
            called.append((name, *arguments, *named.values()))
            return result

        return call

    once = ["shallow", "basic_conv", "omit_FC", "dbl_conv", "dbl_conv_relu"]
    for name in (*once, "expanded_data", "expanded_data_double_fc"):
        monkeypatch.setattr(script, name, recorded(name))
    nets = [script.double(script.ReLU)]
    monkeypatch.setattr(script, "double_fc_dropout", recorded("double_fc_dropout", nets))
    monkeypatch.setattr(script, "ensemble", recorded("ensemble", ([0, 2], [5, 6])))
    monkeypatch.chdir(tmp_path)
    # The book's last pictures are of layers of 20 and 40 filters, as these untrained ones have.
    script.main([])
    assert [name for name, *_ in called[:5]] == once
    assert called[5:11] == [
        (name, n) for name in ("expanded_data", "expanded_data_double_fc") for n in (100, 300, 1000)
    ]
    assert called[11:] == [("double_fc_dropout", 0.5, 0.5, 0.5, 5), ("ensemble", nets)]
    pictures = {"ensemble_errors.png", "net_full_layer_0.png", "net_full_layer_1.png"}
    assert {path.name for path in tmp_path.iterdir()} == pictures


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["shallow", "shalow"], "experiments has 'shalow'; expected some of shallow, basic_conv"),
        (["--epochs", "1"], "--epochs needs the names of experiments"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_refused_before_anything_runs(
    arguments: list[str], message: str, script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        script.main(arguments)
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.out == ""
