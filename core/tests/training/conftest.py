"""A reference backend, and data and networks small enough for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from isograd.data import Dataset
from isograd.graph import Tensor
from isograd.layers import FullyConnected, Layer, Softmax, StateSpec
from isograd.network import Network
from isograd.testing import ReferenceBackend, ReferenceExecutable


class RecordingBackend(ReferenceBackend):
    """Keeps what each chunk of training steps was given, and what was compiled."""

    def __init__(self) -> None:
        self.compiled: list[Any] = []
        self.chunks: list[dict[str, np.ndarray[Any, Any]]] = []

    def compile(self, function: Any, device: str) -> ReferenceExecutable:
        self.compiled.append(function)
        return super().compile(function, device)

    def run_steps(
        self, executable: Any, state: Any, resident: Any, per_step: Mapping[str, Any], steps: int
    ) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, Any]]:
        if "eta" in per_step:
            self.chunks.append({name: np.array(array) for name, array in per_step.items()})
        return super().run_steps(executable, state, resident, per_step, steps)

    def steps(self, name: str) -> list[np.ndarray[Any, Any]]:
        """What every training step was given under a name."""
        return [row for chunk in self.chunks for row in chunk[name]]


@dataclass(frozen=True, repr=False)
class Centred(Layer):
    """Subtracts the mean of the rows in training, and a running mean in evaluation."""

    def output_shape(self, shape: Any) -> Any:
        return shape

    def state(self, shape: Any) -> dict[str, StateSpec]:
        return {"mean": StateSpec(shape, 0.5)}

    def build(self, inputs: Any, params: Any, state: Any, mode: Any, masks: Any) -> Any:
        (x,) = inputs
        if mode == "evaluate":
            return (x - state["mean"],), {}
        mean: Tensor = x.mean(0)
        return (x - mean,), {"mean": state["mean"] * 0.75 + mean * 0.25}


@pytest.fixture(scope="session")
def centred() -> type[Layer]:
    """A layer with state."""
    return Centred


@pytest.fixture(scope="session")
def backend() -> ReferenceBackend:
    return ReferenceBackend()


@pytest.fixture(scope="session")
def recording_backend() -> Callable[[], RecordingBackend]:
    return RecordingBackend


@pytest.fixture(scope="session")
def make_data() -> Callable[..., Dataset]:
    """Random inputs (n, features) in [-1, 1) and labels that a small network can partly learn from them."""

    def make(
        n: int = 10, seed: int = 0, features: int = 4, classes: int = 3, dtype: str = "float64"
    ) -> Dataset:
        generator = np.random.default_rng(seed)
        inputs = generator.uniform(-1, 1, (n, features))
        labels = np.argmax(inputs[:, :classes] + generator.normal(0, 0.3, (n, classes)), axis=1)
        return Dataset(inputs.astype(dtype), labels)

    return make


@pytest.fixture(scope="session")
def make_network() -> Callable[..., Network]:
    """A sigmoid layer of 3 units with dropout and a softmax, in float64, which starts away from zero."""

    def make(p_dropout: float = 0.0, seed: int = 0, **options: Any) -> Network:
        layers = [
            FullyConnected(3, p_dropout=p_dropout),
            Softmax(3, p_dropout=p_dropout, weight_init="n_in", bias_init="n_in"),
        ]
        return Network(layers, (4,), seed, **{"dtype": "float64", **options})

    return make


@pytest.fixture(scope="session")
def same_network() -> Callable[[Network, Network], bool]:
    """Whether two networks are the same to the last bit."""

    def same(a: Network, b: Network) -> bool:
        def all_of(network: Network) -> Any:
            arrays = network.parameters | network.state
            contents = {path: (x.dtype, x.shape, x.tobytes()) for path, x in arrays.items()}
            return network.layers, network.input_shape, network.seed, network.dtype, network.init, contents

        return bool(all_of(a) == all_of(b))

    return same


@pytest.fixture(scope="session")
def run_file(
    tmp_path_factory: pytest.TempPathFactory,
    backend: ReferenceBackend,
    make_data: Callable[..., Dataset],
    make_network: Callable[..., Network],
) -> Path:
    """The checkpoint of a run with momentum that stopped in its second epoch of four steps."""
    path = tmp_path_factory.mktemp("run") / "run.safetensors"
    make_network(0.5, dtype="float32").SGD(
        make_data(7), 2, 2, 0.5, make_data(5), momentum=0.5, max_steps=6, checkpoint=path, backend=backend
    )
    return path


@pytest.fixture(scope="session")
def open_file() -> Callable[[Path], tuple[dict[str, Any], dict[str, Any]]]:
    """The JSON document and the arrays of a file, by the safetensors library alone."""

    def open_file(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        with safetensors.safe_open(path, framework="numpy") as file:
            document = json.loads(file.metadata()["isograd"])
            return document, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)

    return open_file
