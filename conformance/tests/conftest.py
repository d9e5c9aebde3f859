"""Backends for the tests of the suite: right ones and faulty ones, none of which is a plugin."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, settings

from isograd import graph as G
from isograd.backend import Backend, Capabilities, Executable
from isograd.errors import ArgumentError
from isograd.graph.reference import REFERENCE
from isograd.interpreter import Interpreter
from isograd.testing import ReferenceBackend
from isograd_conformance.subject import Subject

settings.register_profile(
    "ci", deadline=None, derandomize=True, max_examples=25, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ci")

pytest_plugins = ["pytester"]

Array = npt.NDArray[Any]
Evaluator = Callable[..., Array]


class TableBackend(ReferenceBackend):
    """The reference backend with some evaluators replaced, node by node."""

    executables = Interpreter

    def __init__(self, **table: Evaluator) -> None:
        self.table = {**REFERENCE, **table}

    def compile(self, function: G.Function, device: str) -> Any:
        made = super().compile(function, device)
        return Interpreter(made.function, made.device, self._value)

    def _value(self, node: G.Tensor, *operands: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(self.table[node.primitive](*operands, **node.attributes), node.dtype)


class NativeBackend(ReferenceBackend):
    """Its "native" gradient is the symbolic one, so that the tests of native gradients have what to test."""

    name = "native"
    capabilities = Capabilities(
        dtypes=ReferenceBackend.capabilities.dtypes, deterministic=True, native_gradient=True
    )

    def compile_native_gradient(
        self, function: G.Function, cost: str, wrt: Sequence[str], device: str
    ) -> Executable:
        variables = {**function.inputs, **function.state}
        unknown = [name for name in (cost, *wrt) if name not in {**variables, **function.outputs}]
        if unknown:
            raise ArgumentError(f"{', '.join(unknown)}: neither an output nor a variable of the function")
        gradients = G.grad(function.outputs[cost], [variables[name] for name in wrt])
        outputs = {f"gradient/{name}": g for name, g in zip(wrt, gradients, strict=True)}
        return self.compile(
            G.Function(function.inputs, function.outputs | outputs, function.state, function.updates), device
        )


@pytest.fixture(scope="session")
def table_backend() -> type[TableBackend]:
    """TableBackend(primitive=evaluator): the reference backend with some evaluators replaced."""
    return TableBackend


@pytest.fixture(scope="session")
def subject_of() -> Callable[[Backend], Subject]:
    """subject_of(backend): the backend as the tests of the suite take it."""
    return lambda backend: Subject(backend.name, backend, "cpu")


@pytest.fixture
def unregistered(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.Pytester]:
    """A folder whose runs of pytest know the backends "reference" and "native", registered there alone.

    They import the suite anew: its decorators have taken over the options of whoever imported it before.
    """
    from isograd import plugins

    for name in [name for name in sys.modules if name.startswith("isograd_conformance.suite")]:
        monkeypatch.delitem(sys.modules, name)
    names = [plugins.register_backend(b.name, b) for b in (ReferenceBackend(), NativeBackend())]
    yield pytester
    for name in names:
        plugins.unregister(name)
