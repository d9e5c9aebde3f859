"""The contract of a backend: move data, compile a function, name the devices."""

from collections.abc import Sequence
from importlib.metadata import version

import numpy as np

from isograd.backend import Backend, Capabilities
from isograd.backend_checks import check_dtypes, check_primitives, native_array
from isograd.graph import DTYPES, Function
from isograd.interpreter import Interpreter
from isograd_autograd import __version__
from isograd_autograd.native import NativeGradient
from isograd_autograd.operations import OPERATIONS, Array, apply


class AutogradBackend(Backend):
    """Runs a function one primitive after another, and differentiates it by autograd where asked to."""

    name = "autograd"
    version = f"{__version__} (autograd {version('autograd')}, NumPy {np.__version__})"
    capabilities = Capabilities(dtypes=frozenset(DTYPES), native_gradient=True, deterministic=True)
    executables = (Interpreter, NativeGradient)

    def devices(self) -> list[str]:
        return ["cpu"]

    def to_device(self, array: Array, device: str) -> Array:
        self.resolve_device(device)
        # One order of memory: NumPy sums another one in another order, and the last bits would differ.
        return np.asarray(native_array(self.name, array, self.capabilities.dtypes), order="C")

    def to_host(self, array: Array) -> Array:
        return array

    def compile(self, function: Function, device: str) -> Interpreter:
        self._check(function)
        return Interpreter(function, self.resolve_device(device), apply)

    def compile_native_gradient(
        self, function: Function, cost: str, wrt: Sequence[str], device: str
    ) -> NativeGradient:
        self._check(function)
        return NativeGradient(function, self.resolve_device(device), cost, wrt)

    def _check(self, function: Function) -> None:
        check_primitives(self.name, function, OPERATIONS)
        check_dtypes(self.name, function, self.capabilities.dtypes)
