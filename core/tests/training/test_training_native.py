"""Training with the backend's own gradient: the same step around another derivative."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isograd.backend import Array, Capabilities, Executable
from isograd.errors import UnsupportedError
from isograd.graph import Function, grad
from isograd.graph.dtypes import DTYPES
from isograd.layers import Layer, Softmax
from isograd.network import Network
from isograd.testing import ReferenceBackend

Make = Callable[..., Any]


class WithNative(ReferenceBackend):
    """Its "native" gradient is the symbolic one, so that only the way around it can differ."""

    capabilities = Capabilities(dtypes=frozenset(DTYPES), native_gradient=True, deterministic=True)

    def __init__(self) -> None:
        self.natively: list[tuple[str, ...]] = []

    def compile_native_gradient(
        self, function: Function, cost: str, wrt: Sequence[str], device: str
    ) -> Executable:
        self.natively.append(tuple(wrt))
        gradients = grad(function.outputs[cost], [function.state[name] for name in wrt])
        outputs = {f"gradient/{name}": g for name, g in zip(wrt, gradients, strict=True)}
        return self.compile(
            Function(function.inputs, function.outputs | outputs, function.state, function.updates), device
        )

    def run_steps(
        self,
        executable: Executable,
        state: Mapping[str, Array],
        resident: Mapping[str, Array],
        per_step: Mapping[str, Array],
        steps: int,
    ) -> Any:
        # As a backend does that has a faster way for what it compiled itself.
        assert type(executable).__name__ == "ReferenceExecutable"
        return super().run_steps(executable, state, resident, per_step, steps)


@settings(max_examples=10)
@given(
    lmbda=st.sampled_from([0.0, 0.5]),
    momentum=st.sampled_from([0.0, 0.9]),
    nesterov=st.booleans(),
    averaging=st.sampled_from([0.0, 0.75]),
    p_dropout=st.sampled_from([0.0, 0.5]),
    size=st.integers(1, 7),
)
def test_a_native_gradient_that_equals_the_symbolic_one_gives_the_same_bits(
    make_data: Make,
    make_network: Make,
    lmbda: float,
    momentum: float,
    nesterov: bool,
    averaging: float,
    p_dropout: float,
    size: int,
) -> None:
    backend = WithNative()
    networks, histories = [], []
    for gradient in ("symbolic", "native"):
        network = make_network(p_dropout)
        histories.append(
            network.SGD(
                make_data(7), 2, size, 0.5, lmbda=lmbda, momentum=momentum,
                nesterov=nesterov and momentum > 0, averaging=averaging, gradient=gradient, backend=backend,
            )
        )  # fmt: skip
        networks.append(network)
    assert [r.cost for r in histories[0].epochs] == [r.cost for r in histories[1].epochs]
    for path, array in networks[0].parameters.items():
        assert networks[1].parameters[path].tobytes() == array.tobytes()
    assert set(backend.natively) == {tuple(networks[0].parameters)}


def test_layer_state_goes_along(make_data: Make, centred: type[Layer]) -> None:
    networks = [Network([centred(), Softmax(3)], (4,)) for _ in range(2)]
    for network, gradient in zip(networks, ("symbolic", "native"), strict=True):
        network.SGD(make_data(7), 2, 2, 0.5, averaging=0.5, gradient=gradient, backend=WithNative())
    assert np.any(networks[0].state["0.mean"] != 0.5)
    assert np.array_equal(networks[0].state["0.mean"], networks[1].state["0.mean"])
    assert np.array_equal(networks[0].parameters["1.weight"], networks[1].parameters["1.weight"])


def test_a_backend_without_one_says_so_before_anything_changes(
    backend: ReferenceBackend, make_data: Make, make_network: Make
) -> None:
    network = make_network()
    before = {path: array.tobytes() for path, array in network.parameters.items()}
    with pytest.raises(UnsupportedError, match="gradient='symbolic'"):
        network.SGD(make_data(), 1, 5, 0.1, gradient="native", backend=backend)
    assert {path: array.tobytes() for path, array in network.parameters.items()} == before
