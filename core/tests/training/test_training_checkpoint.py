"""Files of networks and runs: what is read is what was written, and nothing else is ever read."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from isograd import plugins
from isograd.errors import ArgumentError, FileAccessError, FileFormatError, IsogradError
from isograd.graph import Tensor
from isograd.layers import Constant, FullyConnected, Layer, Softmax, functions
from isograd.network import Network
from isograd.testing import ReferenceBackend
from isograd.training import tensor_file

Make = Callable[..., Any]


def equal(a: Network, b: Network) -> bool:
    same = (a.layers, a.input_shape, a.seed, a.dtype, a.init) == (
        b.layers,
        b.input_shape,
        b.seed,
        b.dtype,
        b.init,
    )
    arrays = [
        {p: (x.dtype, x.shape, x.tobytes()) for p, x in (n.parameters | n.state).items()} for n in (a, b)
    ]
    return same and arrays[0] == arrays[1]


@pytest.fixture(scope="module", autouse=True)
def centred_is_registered(centred: type[Layer]) -> Iterator[None]:
    class Offer:
        @plugins.hookimpl
        def isograd_layers(self) -> list[type]:
            return [centred]

    plugins.register(Offer(), name="training-tests")
    yield
    plugins.unregister("training-tests")


@given(
    units=st.integers(1, 4),
    p_dropout=st.sampled_from([0.0, 0.5]),
    seed=st.integers(0, 2**64 - 1),
    dtype=st.sampled_from(["float32", "float64"]),
    init=st.sampled_from(["chapter", "n_in", "he", "zeros", Constant(0.25)]),
    name=st.sampled_from([None, "hidden"]),
)
def test_a_saved_network_is_loaded_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory,
    centred: type[Layer],
    units: int,
    p_dropout: float,
    seed: int,
    dtype: str,
    init: Any,
    name: str | None,
) -> None:
    layers = [FullyConnected(units, "tanh", p_dropout, name=name), centred(), Softmax(2)]
    network = Network(layers, (1, 3), seed, init=init, dtype=dtype)
    path = tmp_path_factory.mktemp("files") / "network.safetensors"
    network.save(path)
    loaded = Network.load(str(path))
    assert equal(loaded, network)
    assert loaded.training is None
    assert list(loaded.parameters) == list(network.parameters)


def test_layer_state_is_trained_saved_and_used(
    backend: ReferenceBackend, make_data: Make, centred: type[Layer], tmp_path: Path
) -> None:
    data = make_data(8)
    network = Network([centred(), Softmax(3)], (4,), dtype="float64")
    network.SGD(data, 1, 4, 0.5, shuffle=False, checkpoint=tmp_path / "run", backend=backend)
    expected = np.full(4, 0.5)
    for rows in (data.inputs[:4], data.inputs[4:]):
        expected = expected * 0.75 + rows.mean(axis=0) * 0.25
    # Numbers of at most 1 in about ten roundings.
    assert np.all(np.abs(network.state["0.mean"] - expected) <= 10 * 2.0**-53)
    loaded = Network.load(tmp_path / "run")
    assert equal(loaded, network)
    z = (data.inputs - network.state["0.mean"]) @ network.parameters["1.weight"] + network.parameters[
        "1.bias"
    ]
    assert loaded.predict(data, backend=backend).tolist() == z.argmax(axis=1).tolist()


# The file as other programs see it.


@pytest.fixture(scope="module")
def run_file(
    tmp_path_factory: pytest.TempPathFactory, backend: ReferenceBackend, make_data: Make, make_network: Make
) -> Path:
    path = tmp_path_factory.mktemp("run") / "run.safetensors"
    make_network(0.5, dtype="float32").SGD(
        make_data(7), 2, 2, 0.5, make_data(5), momentum=0.5, max_steps=6, checkpoint=path, backend=backend
    )
    return path


def opened(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    with safetensors.safe_open(path, framework="numpy") as file:
        document = json.loads(file.metadata()["isograd"])
        return document, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)


def test_the_file_is_one_that_any_reader_of_safetensors_understands(run_file: Path) -> None:
    document, arrays = opened(run_file)
    assert document["format"] == 1
    assert document["network"]["layers"]["layers"][0]["type"] == "FullyConnected"
    assert (document["training"]["epoch"], document["training"]["step"]) == (1, 2)
    paths = ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert set(arrays) == {prefix + path for prefix in ("", "velocity/", "best/") for path in paths}
    assert all(array.dtype == np.float32 for array in arrays.values())


def test_no_other_file_is_left_in_the_folder(run_file: Path) -> None:
    assert [path.name for path in run_file.parent.iterdir()] == ["run.safetensors"]


# Files that are not what they should be.


@settings(max_examples=150)
@given(data=st.data())
def test_a_changed_byte_is_noticed_or_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, run_file: Path, data: st.DataObject
) -> None:
    content = bytearray(run_file.read_bytes())
    # Most of the meaning is in the first few thousand bytes.
    places = st.integers(0, len(content) - 1) | st.integers(0, 20)
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(places)] ^= data.draw(st.integers(1, 255))
    assert_error_or_equal(tmp_path_factory, run_file, bytes(content))


@given(data=st.data())
def test_a_truncated_or_extended_file_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, run_file: Path, data: st.DataObject
) -> None:
    content = run_file.read_bytes()
    cut = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(FileFormatError):
        Network.load(written(tmp_path_factory, content[:cut]))
    with pytest.raises(FileFormatError):
        Network.load(written(tmp_path_factory, content + data.draw(st.binary(min_size=1, max_size=20))))


@given(content=st.binary(max_size=200))
def test_other_bytes_are_no_network(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    with pytest.raises(FileFormatError):
        Network.load(written(tmp_path_factory, content))


def written(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> Path:
    path = tmp_path_factory.mktemp("bytes") / "file.safetensors"
    path.write_bytes(content)
    return path


def assert_error_or_equal(factory: pytest.TempPathFactory, original: Path, content: bytes) -> None:
    try:
        loaded = Network.load(written(factory, content))
    except IsogradError:
        return
    assert equal(loaded, Network.load(original))


def header(text: str, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode() + data


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no safetensors file"),
        (struct.pack("<Q", 2**62) + b"{}", "no safetensors file"),
        (struct.pack("<Q", 10**9) + b"{}", "no safetensors file"),
        (header("{}"), "not one that isograd wrote"),
        (header('{"__metadata__": {"format": "pt"}}'), "not one that isograd wrote"),
        (header('{"__metadata__": {"isograd": "{"}}'), "no JSON"),
        (header(json.dumps({"__metadata__": {"isograd": "[" * 100_000}})), "no JSON"),
        (header('{"__metadata__": {"isograd": "[]"}}'), "expected a JSON object"),
        (header('{"__metadata__": {"isograd": "{}"}}'), "format is None"),
        (header('{"__metadata__": {"isograd": "{\\"format\\": true}"}}'), "format is True"),
        (
            header('{"__metadata__": {"isograd": "{\\"format\\": 2}"}}'),
            "format is 2, which a newer isograd wrote",
        ),
        (header('{"__metadata__": {"isograd": "{\\"format\\": 1}"}}'), "corrupted"),
        (
            header(
                '{"__metadata__": {"isograd": "{\\"format\\": 1}"}, '
                '"a": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}',
                b"ab",
            ),
            "a is BF16; expected F32 or F64",
        ),
        (
            header('{"a": {"dtype": "F32", "shape": [4611686018427387904], "data_offsets": [0, 0]}}'),
            "no safetensors file",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "some.file"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=message) as raised:
        Network.load(path)
    assert str(raised.value).startswith(str(path))


def change(document: Any, place: str, value: Any) -> None:
    *parents, last = place.split("/")
    for name in parents:
        document = document[int(name) if name.isdecimal() else name]
    if value is KeyError:
        del document[last]
    else:
        document[last] = value


LAYER = "network/layers/layers/0"


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("network", KeyError, "the document has format, isograd, training; expected"),
        ("network", [], "network is list"),
        ("network/seed", KeyError, "network has layers, input_shape, dtype, init; expected"),
        ("network/seed", -1, "seed is -1"),
        ("network/seed", 2**64, "seed is 18446744073709551616"),
        ("network/seed", "0", "seed is '0'; expected a whole number"),
        ("network/dtype", "float16", "dtype is float16"),
        ("network/dtype", 5, "dtype is 5"),
        ("network/input_shape", [], r"input_shape is \[\]"),
        ("network/input_shape", [-4], r"input_shape is \[-4\]"),
        ("network/input_shape", "784", "input_shape is '784'"),
        ("network/input_shape", [2**70], "more than any memory holds"),
        ("network/input_shape", [5], r"0.weight has shape \(4, 3\); expected \(5, 3\)"),
        ("network/init", "unheard-of", "unheard-of"),
        ("network/init", None, "initialiser is None"),
        ("network/layers/format", 2, "newer isograd"),
        ("network/layers/layers", [], "layers is empty"),
        (f"{LAYER}/type", "os.system", "os.system"),
        (f"{LAYER}/n_out", 10**30, "0.weight has shape|more than any memory holds"),
        (f"{LAYER}/n_out", -1, "n_out"),
        (f"{LAYER}/activation", "subprocess", "subprocess"),
        (f"{LAYER}/colour", "red", "colour"),
        ("training/epoch", 7, "epoch is 7, but the history has 1"),
        ("training/epoch", 1.0, "epoch is 1.0; expected int"),
        ("training/step", -1, "step is -1"),
        ("training/cost_sum", float("nan"), "cost_sum is nan"),
        ("training/seconds", -1.0, "seconds is -1.0"),
        ("training/best", False, "best/0.bias belongs to nothing"),
        ("training/best", 1, "best is 1; expected bool"),
        ("training/history", None, "history"),
        ("training/history/epochs/0/cost", "x", "cost is 'x'"),
        ("training/agreement/momentum", 0.0, "velocity/0.bias belongs to nothing"),
        ("training/agreement/momentum", 2.0, "momentum is 2.0"),
        ("training/agreement/eta", KeyError, "agreement has"),
        ("training/backend", {}, "backend has nothing; expected name, version, device"),
        ("training/backend/name", 5, "backend name is 5"),
        ("training/more", 5, "training has"),
    ],
)
def test_each_entry_is_checked_even_if_the_digest_is_right(
    run_file: Path, tmp_path: Path, place: str, value: Any, message: str
) -> None:
    document, arrays = opened(run_file)
    change(document, place, value)
    path = tmp_path / "forged"
    forge(path, document, arrays)
    with pytest.raises(FileFormatError, match=message):
        Network.load(path)


def forge(path: Path, document: Any, arrays: Any) -> None:
    """As `tensor_file.write`, but with whatever JSON and Python can express."""
    text = json.dumps(document)
    digest = tensor_file._digest(text, arrays)
    path.write_bytes(safetensors.numpy.save(arrays, {"isograd": text, "digest": digest}))


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("1.bias", None, "the array 1.bias is missing"),
        ("velocity/1.bias", None, "the array velocity/1.bias is missing"),
        ("best/1.bias", None, "the array best/1.bias is missing"),
        ("2.bias", np.zeros(3, np.float32), "the array 2.bias belongs to nothing"),
        ("1.bias", np.zeros(4, np.float32), r"1.bias has shape \(4,\); expected \(3,\)"),
        ("1.bias", np.zeros(3, np.float64), "1.bias is float64; expected float32"),
        ("0.weight", np.zeros((3, 4), np.float32), r"0.weight has shape \(3, 4\)"),
    ],
)
def test_each_array_is_checked_even_if_the_digest_is_right(
    run_file: Path, tmp_path: Path, name: str, array: Any, message: str
) -> None:
    document, arrays = opened(run_file)
    arrays.pop(name, None)
    if array is not None:
        arrays[name] = array
    forge(tmp_path / "forged", document, arrays)
    with pytest.raises(FileFormatError, match=message):
        Network.load(tmp_path / "forged")


def test_a_forged_step_is_refused_when_the_run_is_resumed(
    backend: ReferenceBackend, make_data: Make, run_file: Path, tmp_path: Path
) -> None:
    document, arrays = opened(run_file)
    document["training"]["step"] = 10**9
    forge(tmp_path / "forged", document, arrays)
    network = Network.load(tmp_path / "forged")
    with pytest.raises(ArgumentError, match="step 1000000000 of an epoch of 4"):
        network.SGD(make_data(7), 2, 2, 0.5, make_data(5), momentum=0.5, resume=True, backend=backend)


def test_files_that_can_not_be_read_or_written_are_errors_of_access(
    tmp_path: Path, make_network: Make
) -> None:
    with pytest.raises(FileAccessError, match="No such file"):
        Network.load(tmp_path / "missing")
    with pytest.raises(FileAccessError, match="no regular file"):
        Network.load(tmp_path)
    with pytest.raises(FileAccessError, match="can not be written"):
        make_network().save(tmp_path)
    with pytest.raises(FileAccessError, match="can not be written"):
        make_network().save(tmp_path / "missing" / "network")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileAccessError, match="no regular file"):
        Network.load(tmp_path / "pipe")


# Writing.


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, make_network: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "network"
    make_network().save(path)
    before = path.read_bytes()

    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, full)
            with pytest.raises(FileAccessError, match="No space left"):
                make_network(seed=1).save(path)
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]


def test_a_symbolic_link_stays_one(tmp_path: Path, make_network: Make) -> None:
    (tmp_path / "folder").mkdir()
    try:
        (tmp_path / "link").symlink_to(tmp_path / "folder" / "network")
    except OSError:
        pytest.skip("this account may not make symbolic links")
    make_network().save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert equal(Network.load(tmp_path / "folder" / "network"), make_network())


@pytest.mark.parametrize(
    "options", [{"activation": lambda z: z}, {"weight_init": lambda seed, path, spec: 0}]
)
def test_a_function_without_a_name_is_refused_before_training(
    backend: ReferenceBackend, make_data: Make, tmp_path: Path, options: Any
) -> None:
    if "weight_init" in options:
        options = {"weight_init": lambda seed, path, spec: np.zeros(spec.shape)}
    network = Network([FullyConnected(3, **options), Softmax(3)], (4,))
    with pytest.raises(ArgumentError, match=r"layers\[0\]: .*register"):
        network.SGD(make_data(), 1, 5, 0.1, checkpoint=tmp_path / "run", backend=backend)
    with pytest.raises(ArgumentError, match=r"layers\[0\]: .*register"):
        network.save(tmp_path / "network")
    assert not list(tmp_path.iterdir())
    assert network.training is None
    assert not network.parameters["1.weight"].any()


def test_a_function_with_a_name_is_saved_under_it(tmp_path: Path) -> None:
    def double(z: Tensor) -> Tensor:
        return z * 2

    network = Network([FullyConnected(3, double), Softmax(3)], (4,))
    functions.register("activation", "test-double", double)
    try:
        network.save(tmp_path / "network")
        (hidden, _) = Network.load(tmp_path / "network").layers
        assert isinstance(hidden, FullyConnected)
        assert functions.lookup("activation", hidden.activation) is double
    finally:
        functions.unregister("activation", "test-double")
    with pytest.raises(FileFormatError, match="test-double"):
        Network.load(tmp_path / "network")


# Into a network that exists.


def test_parameters_are_loaded_into_a_network_with_the_same_arrays(
    backend: ReferenceBackend, make_data: Make, make_network: Make, tmp_path: Path
) -> None:
    make_network(seed=1).save(tmp_path / "network")
    other = Network([FullyConnected(3, "relu", 0.5), Softmax(3)], (4,), dtype="float64")
    other.SGD(make_data(), 1, 5, 0.1, backend=backend)
    other.load_parameters(tmp_path / "network")
    for path, array in make_network(seed=1).parameters.items():
        assert other.parameters[path].tobytes() == array.tobytes()
    assert other.training is None


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            Network([FullyConnected(5), Softmax(3)], (4,), dtype="float64"),
            r"0.weight is float64 \[4, 3\]; in this network it is float64 \[4, 5\]",
        ),
        (
            Network([FullyConnected(3), Softmax(3)], (4,)),
            r"0.weight is float64 \[4, 3\]; in this network it is float32 \[4, 3\]",
        ),
        (
            Network([FullyConnected(3), Softmax(3, name="out")], (4,), dtype="float64"),
            "out.weight is missing; in this network it is",
        ),
        (
            Network([FullyConnected(3), Softmax(3, bias=False)], (4,), dtype="float64"),
            r"1.bias is float64 \[3\]; in this network it is missing",
        ),
    ],
)
def test_the_first_difference_is_named_and_nothing_has_changed(
    make_network: Make, tmp_path: Path, network: Network, message: str
) -> None:
    make_network().save(tmp_path / "network")
    before = {path: array.tobytes() for path, array in network.parameters.items()}
    with pytest.raises(ArgumentError, match=message):
        network.load_parameters(tmp_path / "network")
    assert {path: array.tobytes() for path, array in network.parameters.items()} == before
