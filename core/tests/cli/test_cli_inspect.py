"""`isograd evaluate`, `predict` and `summary` say of a trained network what the network itself says."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from isograd.cli.images import read_image
from isograd.data import Dataset, load_dataset
from isograd.errors import FileAccessError, FileFormatError, ShapeError
from isograd.network import Network
from isograd.testing import ReferenceBackend

Image = pytest.importorskip("PIL.Image")
Invoke = Callable[..., Any]
BACKEND = ReferenceBackend()


@pytest.fixture
def trained(invoke: Invoke, folder: Path) -> Path:
    """The checkpoint of a run of five epochs, of which the last is not the best."""
    with np.load(folder / "data.npz") as data:
        content = dict(data)
    # With wrong labels, what is learned makes the accuracy worse.
    content["y_validation"] = (content["y_validation"] + 1) % 3
    np.savez(folder / "data.npz", **content)
    invoke("train", "run.toml", "--eta", "1", "--epochs", "5")
    checkpoint = folder / "runs" / "tiny" / "checkpoint.safetensors"
    training = Network.load(checkpoint).training
    assert training is not None
    assert training.history.best_epoch != 4
    return checkpoint


@pytest.mark.parametrize("split", ["training", "validation", "test"])
@pytest.mark.parametrize(("best", "shifts"), [(False, 0), (True, 0), (False, 2)])
def test_evaluate_gives_the_networks_accuracy_and_cost(
    split: str, best: bool, shifts: int, trained: Path, invoke: Invoke
) -> None:
    arguments = ["evaluate", str(trained), "--split", split, "--shifts", str(shifts)]
    arguments += ["--best"] if best else []
    network = Network.load(trained, best=best)
    data = getattr(load_dataset(Path("data.npz")), split)
    accuracy = network.accuracy(data, backend=BACKEND, shifts=shifts)
    cost = network.cost(data, backend=BACKEND)
    wrong = int(np.count_nonzero(network.predict(data, backend=BACKEND, shifts=shifts) != data.labels))
    assert json.loads(invoke(*arguments, "--json").stdout) == {
        "split": split,
        "examples": len(data),
        "shifts": shifts,
        "accuracy": accuracy,
        "errors": wrong,
        "cost": cost,
    }
    text = invoke(*arguments).stdout
    assert (
        f"accuracy {100 * accuracy:.2f} % ({wrong} errors in {len(data)} examples), cost {cost:.4f}" in text
    )


def test_the_folder_of_a_run_stands_for_its_checkpoint(trained: Path, invoke: Invoke) -> None:
    for command in (["evaluate"], ["predict", "--index", "0"], ["summary"]):
        name, *options = command
        assert (
            invoke(name, str(trained.parent), *options).stdout == invoke(name, str(trained), *options).stdout
        )


def test_evaluate_takes_other_data_and_needs_them_where_no_run_file_names_any(
    trained: Path, invoke: Invoke, folder: Path
) -> None:
    alone = folder / "alone.safetensors"
    alone.write_bytes(trained.read_bytes())
    (folder / "elsewhere").mkdir()
    moved = alone.rename(folder / "elsewhere" / "alone.safetensors")
    assert "pass --data" in invoke("evaluate", str(moved), code=1).stderr
    assert "pass --data" in invoke("predict", str(moved), "--index", "0", code=1).stderr
    expected = invoke("evaluate", str(trained)).stdout
    assert invoke("evaluate", str(moved), "--data", "data.npz").stdout == expected


def test_a_part_that_the_data_do_not_have_is_named(trained: Path, invoke: Invoke, folder: Path) -> None:
    with np.load(folder / "data.npz") as data:
        np.savez(folder / "alone.npz", x=data["x_train"], y=data["y_train"])
    stderr = invoke("evaluate", str(trained), "--data", "alone.npz", code=1).stderr
    assert "--split is test; the data have only training" in stderr


def test_best_needs_a_run_with_validation(invoke: Invoke, folder: Path) -> None:
    with np.load(folder / "data.npz") as data:
        np.savez(folder / "alone.npz", x=data["x_train"], y=data["y_train"])
    invoke("train", "run.toml", "--data", "alone.npz")
    assert "best" in invoke("evaluate", "runs/tiny", "--best", "--split", "training", code=1).stderr


@pytest.mark.parametrize("command", ["evaluate", "summary"])
def test_what_is_no_checkpoint_is_an_error(command: str, invoke: Invoke, folder: Path) -> None:
    (folder / "broken.safetensors").write_bytes(b"no tensors")
    assert "broken.safetensors: " in invoke(command, "broken.safetensors", code=1).stderr
    assert "nothing.safetensors: " in invoke(command, "nothing.safetensors", code=1).stderr


def test_predict_gives_the_networks_probabilities_of_an_example(trained: Path, invoke: Invoke) -> None:
    network, data = Network.load(trained), load_dataset(Path("data.npz")).test
    assert data is not None
    for index, shifts in ((0, 0), (len(data) - 1, 0), (0, 1)):
        arguments = ["predict", str(trained), "--index", str(index), "--shifts", str(shifts)]
        example = data[index : index + 1]
        probabilities = network.predict_proba(example, backend=BACKEND, shifts=shifts)[0]
        found = json.loads(invoke(*arguments, "--json").stdout)
        assert found["class"] == str(np.argmax(probabilities))
        assert found["label"] == str(data.labels[index])
        assert found["probabilities"] == {str(i): float(p) for i, p in enumerate(probabilities)}
        first, _, header, *rows = invoke(*arguments).stdout.splitlines()
        assert first == f"{found['class']} (label {found['label']})"
        assert header.split() == ["class", "probability"]
        assert [row.split()[:2] for row in rows] == [
            [str(i), f"{100 * p:.2f}"] for i, p in enumerate(probabilities)
        ]


def test_predict_reads_an_image_as_the_data_set_would(trained: Path, invoke: Invoke, folder: Path) -> None:
    data = load_dataset(Path("data.npz")).test
    assert data is not None
    image = np.asarray(data.inputs[3, 0])
    Image.fromarray(image).save(folder / "light.png")
    Image.fromarray(255 - image).save(folder / "dark.png")
    expected = json.loads(invoke("predict", str(trained), "--index", "3", "--json").stdout)
    for arguments in (["light.png"], ["dark.png", "--invert"]):
        found = json.loads(invoke("predict", str(trained), *arguments, "--json").stdout)
        assert found == {**expected, "label": None}


def test_predict_wants_either_an_image_or_an_index(trained: Path, invoke: Invoke) -> None:
    assert "either IMAGE or --index" in invoke("predict", str(trained), code=2).stderr
    assert (
        "either IMAGE or --index" in invoke("predict", str(trained), "x.png", "--index", "0", code=2).stderr
    )
    assert "--invert" in invoke("predict", str(trained), "--index", "0", "--invert", code=2).stderr
    assert "the data have 14 examples" in invoke("predict", str(trained), "--index", "14", code=1).stderr


def test_without_pillow_the_error_says_how_to_install_it(
    trained: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    stderr = invoke("predict", str(trained), "x.png", code=1).stderr
    assert 'pip install "isograd[images]"' in stderr


def test_summary_of_a_checkpoint_shows_layers_and_result(trained: Path, invoke: Invoke) -> None:
    network = Network.load(trained)
    assert network.training is not None
    history = network.training.history
    text = invoke("summary", str(trained)).stdout
    assert text.startswith(network.summary())
    assert "5 epochs trained on reference:cpu, stopped: completed" in text
    assert history.test_accuracy is not None
    assert f"test accuracy: {100 * history.test_accuracy:.2f} % in epoch {history.best_epoch}" in text
    found = json.loads(invoke("summary", str(trained), "--json").stdout)
    assert found["parameters"] == sum(array.size for array in network.parameters.values())
    assert found["training"]["test_accuracy"] == history.test_accuracy
    network.save("plain.safetensors")
    assert json.loads(invoke("summary", "plain.safetensors", "--json").stdout)["training"] is None


def test_summary_of_a_run_shows_layers_and_settings(invoke: Invoke) -> None:
    text = invoke("summary", "run.toml").stdout
    assert "layer 0 (FullyConnected)  5                     85" in text
    assert "epochs 2, mini_batch_size 10, eta 0.5" in text
    found = json.loads(invoke("summary", "chapter6/omit_fc", "--json").stdout)
    assert [layer["type"] for layer in found["layers"]] == ["ConvPool", "Softmax"]
    assert found["run"]["training"]["epochs"] == 60


grey = arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6)))


@given(grey, st.booleans())
def test_a_grey_image_of_the_networks_size_keeps_its_bytes(image: np.ndarray[Any, Any], invert: bool) -> None:
    Image.fromarray(image).save("image.png")
    height, width = image.shape
    expected = 255 - image if invert else image
    for shape in ((1, height, width), (height, width)):
        found = read_image(Path("image.png"), shape, invert=invert)
        assert (found.dtype.name, found.shape) == ("uint8", (1, *shape))
        np.testing.assert_array_equal(found.reshape(height, width), expected)
    if height == width:
        flat = read_image(Path("image.png"), (height * width,), invert=invert)
        np.testing.assert_array_equal(flat, expected.reshape(1, -1))


@given(arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6), st.just(3))))
def test_a_colour_image_becomes_three_channels_in_the_order_red_green_blue(
    image: np.ndarray[Any, Any],
) -> None:
    Image.fromarray(image).save("image.png")
    height, width, _ = image.shape
    found = read_image(Path("image.png"), (3, height, width))
    np.testing.assert_array_equal(found[0], image.transpose(2, 0, 1))


@given(
    st.integers(0, 255),
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from(["L", "RGB", "P", "LA", "RGBA"]),
)
def test_an_image_of_one_shade_keeps_it_at_any_size_and_in_any_mode(
    shade: int, width: int, height: int, mode: str
) -> None:
    Image.new("L", (width, height), shade).convert(mode).save("image.png")
    found = read_image(Path("image.png"), (1, 5, 4))
    np.testing.assert_array_equal(found, np.full((1, 1, 5, 4), shade))


def test_what_is_transparent_becomes_white(folder: Path) -> None:
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(folder / "image.png")
    np.testing.assert_array_equal(read_image(folder / "image.png", (4, 4)), np.full((1, 4, 4), 255))


def test_images_that_can_not_be_used_are_refused(folder: Path) -> None:
    with pytest.raises(FileAccessError, match=r"nothing\.png"):
        read_image(Path("nothing.png"), (1, 4, 4))
    (folder / "text.png").write_text("no image")
    with pytest.raises(FileFormatError, match=r"text\.png: no image that can be read"):
        read_image(Path("text.png"), (1, 4, 4))
    Image.new("L", (64, 64)).save(folder / "cut.png")
    content = (folder / "cut.png").read_bytes()
    (folder / "cut.png").write_bytes(content[: len(content) - 30])
    with pytest.raises(FileFormatError, match=r"cut\.png"):
        read_image(Path("cut.png"), (1, 4, 4))
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(folder / "deep.png")
    with pytest.raises(FileFormatError, match="expected up to 8 bits a channel"):
        read_image(Path("deep.png"), (1, 4, 4))


@given(st.lists(st.integers(1, 30), min_size=1, max_size=4).map(tuple))
def test_an_input_that_is_no_image_is_refused(shape: tuple[int, ...]) -> None:
    Image.new("L", (4, 4)).save("image.png")
    is_image = (
        (len(shape) == 3 and shape[0] in (1, 3))
        or len(shape) == 2
        or (len(shape) == 1 and math.isqrt(shape[0]) ** 2 == shape[0])
    )
    if is_image:
        assert Dataset(read_image(Path("image.png"), shape), [0]).feature_shape == shape
    else:
        with pytest.raises(ShapeError, match="the network's input_shape is"):
            read_image(Path("image.png"), shape)
