"""Files that are no checkpoints, or no longer: an error comes of them, or exactly what was written."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from isograd.errors import ArgumentError, FileAccessError, FileFormatError, IsogradError
from isograd.network import Network
from isograd.testing import ReferenceBackend
from isograd.training import tensor_file

Make = Callable[..., Any]


@settings(max_examples=150)
@given(data=st.data())
def test_a_changed_byte_is_noticed_or_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, run_file: Path, same_network: Make, data: st.DataObject
) -> None:
    content = bytearray(run_file.read_bytes())
    # Most of the meaning is in the first few thousand bytes.
    places = st.integers(0, len(content) - 1) | st.integers(0, 20)
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(places)] ^= data.draw(st.integers(1, 255))
    try:
        loaded = Network.load(written(tmp_path_factory, bytes(content)))
    except IsogradError:
        return
    assert same_network(loaded, Network.load(run_file))


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
        ("training/agreement/averaging", 0.5, "the array average/0.weight is missing"),
        ("training/agreement/averaging", 1.0, "averaging is 1.0"),
        ("training/agreement/averaging", "much", "averaging is 'much'"),
        ("training/agreement/momentum", 2.0, "momentum is 2.0"),
        ("training/agreement/eta", KeyError, "agreement has"),
        ("training/backend", {}, "backend has nothing; expected name, version, device"),
        ("training/backend/name", 5, "backend name is 5"),
        ("training/more", 5, "training has"),
    ],
)
def test_each_entry_is_checked_even_if_the_digest_is_right(
    run_file: Path, open_file: Make, tmp_path: Path, place: str, value: Any, message: str
) -> None:
    document, arrays = open_file(run_file)
    change(document, place, value)
    path = tmp_path / "forged"
    forge(path, document, arrays)
    with pytest.raises(FileFormatError, match=message):
        Network.load(path)


def test_a_file_from_before_some_arguments_has_what_runs_did_then(
    run_file: Path, open_file: Make, tmp_path: Path
) -> None:
    document, arrays = open_file(run_file)
    for name in ("weight_decay", "label_smoothing", "averaging", "augmentation"):
        del document["training"]["agreement"][name]
    path = tmp_path / "old"
    forge(path, document, arrays)
    older, newer = Network.load(path).training, Network.load(run_file).training
    assert older is not None
    assert newer is not None
    assert older.agreement == newer.agreement


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
    run_file: Path, open_file: Make, tmp_path: Path, name: str, array: Any, message: str
) -> None:
    document, arrays = open_file(run_file)
    arrays.pop(name, None)
    if array is not None:
        arrays[name] = array
    forge(tmp_path / "forged", document, arrays)
    with pytest.raises(FileFormatError, match=message):
        Network.load(tmp_path / "forged")


def test_a_forged_step_is_refused_when_the_run_is_resumed(
    backend: ReferenceBackend, make_data: Make, run_file: Path, open_file: Make, tmp_path: Path
) -> None:
    document, arrays = open_file(run_file)
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
