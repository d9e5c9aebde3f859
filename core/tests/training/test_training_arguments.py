"""Every bad argument of `SGD` is refused by name, and nothing has changed then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isograd.data import Dataset
from isograd.errors import ArgumentError, ArgumentTypeError, IsogradError, ShapeError, UnsupportedError
from isograd.layers import Activation
from isograd.network import Network
from isograd.testing import ReferenceBackend
from isograd.training import Triangular

Make = Callable[..., Any]

ones = np.ones((4, 4))
NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"training_data": None}, ArgumentTypeError, "training_data: expected a Dataset"),
        ({"training_data": (ones,)}, ArgumentTypeError, "training_data: expected a Dataset or a pair"),
        ({"training_data": (ones, [0, 1])}, ShapeError, "training_data: inputs and labels"),
        ({"training_data": (ones * NAN, [0] * 4)}, ArgumentError, "training_data: .*finite"),
        (
            {"training_data": (np.ones((4, 5)), [0] * 4)},
            ShapeError,
            r"training_data has examples of shape \[5\]; the network's input_shape is \[4\]",
        ),
        (
            {"training_data": (ones, [0, 1, 2, 3])},
            ArgumentError,
            "training_data has labels from 0 to 3; the network has 3 classes, 0 to 2",
        ),
        (
            {"validation_data": (np.ones((4, 3)), [0] * 4)},
            ShapeError,
            r"validation_data has examples of shape \[3\]",
        ),
        ({"validation_data": (ones, [1, 1, 9, 5])}, ArgumentError, "validation_data has labels from 1 to 9"),
        ({"test_data": 3}, ArgumentTypeError, "test_data: expected a Dataset"),
        ({"test_data": (ones, [3] * 4)}, ArgumentError, "test_data has labels from 3 to 3"),
        ({"epochs": 0}, ArgumentError, "epochs is 0; expected at least 1"),
        ({"epochs": 1.5}, ArgumentTypeError, "epochs is 1.5"),
        ({"epochs": True}, ArgumentTypeError, "epochs is True"),
        ({"mini_batch_size": 0}, ArgumentError, "mini_batch_size is 0"),
        ({"mini_batch_size": "10"}, ArgumentTypeError, "mini_batch_size is '10'"),
        ({"mini_batch_size": 11}, ArgumentError, "mini_batch_size is 11; training_data has only 10 examples"),
        ({"eta": 0.0}, ArgumentError, "eta is 0.0; expected a finite number greater than 0"),
        ({"eta": -1}, ArgumentError, "eta is -1"),
        ({"eta": NAN}, ArgumentError, "eta is nan"),
        ({"eta": INF}, ArgumentError, "eta is inf"),
        ({"eta": 10**400}, ArgumentError, "eta is 1000"),
        ({"eta": True}, ArgumentTypeError, "eta is True"),
        ({"eta": None}, ArgumentTypeError, "eta is None"),
        ({"eta": 1e300}, ArgumentError, "eta is 1e[+]300, which float32 can not hold"),
        ({"eta": 1e-60}, ArgumentError, "eta is 1e-60, which float32 can not hold"),
        ({"eta": "warm"}, ArgumentError, "eta is 'warm'"),
        ({"eta": lambda epoch: 0.0}, ArgumentError, "eta in epoch 0 is 0.0"),
        ({"eta": lambda epoch: "fast"}, ArgumentTypeError, "eta in epoch 0 is 'fast'"),
        ({"lmbda": -0.1}, ArgumentError, "lmbda is -0.1; expected a finite number at least 0"),
        ({"lmbda": NAN}, ArgumentError, "lmbda is nan"),
        ({"lmbda": "much"}, ArgumentTypeError, "lmbda is 'much'"),
        ({"lmbda": 1e300}, ArgumentError, "lmbda is 1e[+]300, which float32 can not hold"),
        ({"weight_decay": -0.1}, ArgumentError, "weight_decay is -0.1; expected a finite number at least 0"),
        ({"weight_decay": INF}, ArgumentError, "weight_decay is inf"),
        ({"weight_decay": None}, ArgumentTypeError, "weight_decay is None"),
        ({"weight_decay": 1e300}, ArgumentError, "weight_decay is 1e[+]300, which float32 can not hold"),
        (
            {"label_smoothing": 1.0},
            ArgumentError,
            "label_smoothing is 1.0; expected a finite number at least 0 and less than 1",
        ),
        ({"label_smoothing": -0.1}, ArgumentError, "label_smoothing is -0.1"),
        ({"label_smoothing": NAN}, ArgumentError, "label_smoothing is nan"),
        ({"label_smoothing": True}, ArgumentTypeError, "label_smoothing is True"),
        (
            {"averaging": 1.0},
            ArgumentError,
            "averaging is 1.0; expected a finite number at least 0 and less than 1",
        ),
        ({"averaging": -0.1}, ArgumentError, "averaging is -0.1"),
        ({"averaging": NAN}, ArgumentError, "averaging is nan"),
        ({"averaging": "ema"}, ArgumentTypeError, "averaging is 'ema'"),
        ({"eta": Triangular(1e-60, 1)}, ArgumentError, "eta in epoch 0 is .*, which float32 can not hold"),
        (
            {"momentum": 1.0},
            ArgumentError,
            "momentum is 1.0; expected a finite number at least 0 and less than 1",
        ),
        ({"momentum": -0.5}, ArgumentError, "momentum is -0.5"),
        ({"momentum": None}, ArgumentTypeError, "momentum is None"),
        ({"nesterov": 1, "momentum": 0.5}, ArgumentTypeError, "nesterov is 1; expected True or False"),
        ({"nesterov": True}, ArgumentError, "nesterov is True, but momentum is 0"),
        ({"shuffle": None}, ArgumentTypeError, "shuffle is None"),
        ({"drop_last": "no"}, ArgumentTypeError, "drop_last is 'no'"),
        ({"early_stopping": 0}, ArgumentError, "early_stopping is 0"),
        (
            {"early_stopping": 2, "validation_data": None},
            ArgumentError,
            "early_stopping needs validation_data",
        ),
        ({"tested": "always"}, ArgumentError, "tested is 'always'; expected 'best' or 'last'"),
        (
            {"tested": "last", "early_stopping": 2},
            ArgumentError,
            "tested is 'last', but early_stopping keeps another epoch than the last",
        ),
        ({"gradient": "numeric"}, ArgumentError, "gradient is 'numeric'; expected 'symbolic' or 'native'"),
        ({"gradient": "native"}, UnsupportedError, "no native gradient"),
        ({"checkpoint": 3}, ArgumentTypeError, "checkpoint is 3; expected a path"),
        ({"checkpoint_every": 3}, ArgumentError, "checkpoint_every needs checkpoint"),
        ({"checkpoint": "run", "checkpoint_every": 0}, ArgumentError, "checkpoint_every is 0"),
        ({"max_steps": 0}, ArgumentError, "max_steps is 0"),
        ({"progress": "bar"}, ArgumentTypeError, "progress is 'bar'"),
        ({"threads": 0}, ArgumentError, "threads is 0"),
        ({"threads": 2}, UnsupportedError, "can not limit its threads"),
        ({"backend": "no-such-backend"}, ArgumentError, "no-such-backend"),
        ({"backend": 3}, ArgumentTypeError, "argument backend is 3"),
    ],
)
def test_a_bad_argument_is_refused_by_name_and_nothing_has_changed(
    backend: ReferenceBackend,
    make_data: Make,
    make_network: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changed: dict[str, Any],
    error: type[IsogradError],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    network = make_network(dtype="float32")
    network.SGD(make_data(), 1, 5, 0.1, backend=backend)
    before, training = {path: a.tobytes() for path, a in network.parameters.items()}, network.training
    arguments: dict[str, Any] = {
        "training_data": make_data(),
        "epochs": 1,
        "mini_batch_size": 5,
        "eta": 0.1,
        "validation_data": make_data(),
        "backend": backend,
    }
    with pytest.raises(error, match=message):
        network.SGD(**arguments | changed)
    assert {path: a.tobytes() for path, a in network.parameters.items()} == before
    assert network.training is training
    assert not list(tmp_path.iterdir())


def test_eta_is_checked_again_in_every_epoch(
    backend: ReferenceBackend, make_data: Make, make_network: Make
) -> None:
    network, one_epoch = make_network(), make_network()
    with pytest.raises(ArgumentError, match="eta in epoch 1 is nan"):
        network.SGD(make_data(), 3, 5, lambda epoch: 0.1 if epoch == 0 else NAN, backend=backend)
    one_epoch.SGD(make_data(), 1, 5, 0.1, backend=backend)
    for path, array in one_epoch.parameters.items():
        assert network.parameters[path].tobytes() == array.tobytes()


def test_parameters_that_somebody_has_put_in_are_checked(
    backend: ReferenceBackend, make_data: Make, make_network: Make
) -> None:
    network = make_network()
    network.parameters["0.weight"] = np.ones((3, 4))
    with pytest.raises(ShapeError, match=r"0.weight has shape \[3, 4\]; expected \[4, 3\]"):
        network.SGD(make_data(), 1, 5, 0.1, backend=backend)
    network.parameters["0.weight"] = np.ones((4, 3), np.float32)
    with pytest.raises(ArgumentTypeError, match=r"0\.weight is float32; expected float64"):
        network.predict(make_data(), backend=backend)
    del network.parameters["0.weight"]
    with pytest.raises(ArgumentError, match=r"0\.weight is missing"):
        network.accuracy(make_data(), backend=backend)


def test_a_network_without_parameters_has_nothing_to_train(backend: ReferenceBackend) -> None:
    network = Network([Activation("linear")], (3,))
    with pytest.raises(ArgumentError, match="no parameters"):
        network.SGD(Dataset(np.ones((2, 3)), [0, 1]), 1, 1, 0.1, backend=backend)


def test_a_backend_without_the_datas_dtype_says_so(make_data: Make, make_network: Make) -> None:
    class Narrow(ReferenceBackend):
        def compile(self, function: Any, device: str) -> Any:
            if any(node.dtype == "float64" for node in function.nodes):
                raise UnsupportedError("float64 is not supported")
            return super().compile(function, device)

    with pytest.raises(UnsupportedError, match="float64"):
        make_network().SGD(make_data(), 1, 5, 0.1, backend=Narrow())
