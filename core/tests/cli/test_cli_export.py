"""What `isograd export` refuses, whether onnx is there or not; what it writes is tested where it is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isograd import Ensemble, Network, Softmax

Invoke = Callable[..., Any]


@pytest.fixture
def net(folder: Path) -> Network:
    """A network, and its file net.safetensors."""
    net = Network([Softmax(3)], (4,))
    net.save("net.safetensors")
    return net


def test_without_onnx_the_error_says_how_to_get_it_and_no_file_is_left(
    net: Network, invoke: Invoke, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    answer = invoke("export", "net.safetensors", "--onnx", "net.onnx", code=1).stderr
    assert answer.endswith('which is not installed: pip install "isograd[onnx]"\n')
    assert not (folder / "net.onnx").exists()


def test_an_ensemble_and_what_is_no_number_are_refused(net: Network, invoke: Invoke) -> None:
    Ensemble([net, net]).save("ensemble.safetensors")
    answer = invoke("export", "ensemble.safetensors", "--onnx", "net.onnx", code=1).stderr
    assert "isograd export takes one network" in answer
    wrong = invoke("export", "net.safetensors", "--onnx", "net.onnx", "--scale", "1/0", code=2).stderr
    assert "'1/0' is no number such as 0.5 or 1/256" in " ".join(wrong.replace("│", " ").split())
    assert "--onnx" in invoke("export", "net.safetensors", code=2).stderr
