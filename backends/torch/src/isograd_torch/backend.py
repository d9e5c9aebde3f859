"""The PyTorch backend."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch

from isograd.backend import Backend, Capabilities, Executable
from isograd.backend_checks import check_executable, check_primitives, check_steps, native_array
from isograd.errors import ArgumentTypeError, UnsupportedError
from isograd.graph import DTYPES, Function, simplify
from isograd.thread_limits import ThreadLimits
from isograd_torch import __version__
from isograd_torch.executable import NativeGradient, TorchExecutable, on_host
from isograd_torch.lowering import LOWERINGS
from isograd_torch.program import make_program

HostArray = npt.NDArray[Any]
# Where PyTorch has no double precision at all.
_SINGLE_PRECISION = frozenset({"mps"})


def _limit(threads: int) -> Callable[[], None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    return partial(torch.set_num_threads, before)


_limits = ThreadLimits(_limit)


class TorchBackend(Backend):
    """Executes graphs with PyTorch, on the CPU and on every accelerator that it reports.

    Parameters
    ----------
    torch_compile : bool
        Pass every function through `torch.compile` as well. That takes from seconds to a minute for each
        function and needs a C++ compiler; it pays in long runs only, if at all.
    """

    name = "torch"

    def __init__(self, *, torch_compile: bool = False) -> None:
        if not isinstance(torch_compile, bool):
            raise ArgumentTypeError(f"torch_compile is {torch_compile!r}; expected a bool")
        self._torch_compile = torch_compile
        self.version = f"{__version__} (PyTorch {torch.__version__}{', compiled' if torch_compile else ''})"
        # On an accelerator sums may be made in any order and convolutions by transforms.
        accelerated = _accelerator() is not None
        self.capabilities = Capabilities(
            dtypes=frozenset(DTYPES),
            native_gradient=True,
            deterministic=not accelerated,
            fuses=True,
            normwise_convolution=accelerated,
            limits_threads=True,
        )

    def devices(self) -> list[str]:
        """The accelerator's devices ("cuda:0", ...), if there is one, and "cpu"; the first is the default."""
        kind = _accelerator()
        if kind is None:
            return ["cpu"]
        return [*(f"{kind}:{i}" for i in range(torch.accelerator.device_count())), "cpu"]

    def to_device(self, array: HostArray, device: str) -> torch.Tensor:
        """A tensor in C order; on the CPU it shares memory with an array that is so already."""
        device = self.resolve_device(device)
        value = native_array(self.name, array, self.capabilities.dtypes)
        _check_dtype(value.dtype.name, device)
        # PyTorch adds up another order of memory in another order, and has no negative strides, which NumPy
        # leaves where an axis has no two elements.
        value = value.copy() if min(value.strides, default=0) < 0 else np.asarray(value, order="C")
        return torch.from_numpy(_writable(value)).to(device)

    def to_host(self, array: torch.Tensor) -> HostArray:
        """A NumPy array, in C order."""
        return on_host(array)

    def compile(self, function: Function, device: str) -> TorchExecutable:
        """Lower the function to a Python function of PyTorch calls."""
        device = self._checked(function, device)
        program = make_program(simplify(function), device, in_place=not self._torch_compile)
        if self._torch_compile:
            program = program.compiled()
        return TorchExecutable(function, device, program)

    def compile_native_gradient(
        self, function: Function, cost: str, wrt: Sequence[str], device: str
    ) -> NativeGradient:
        """The forward graph as PyTorch calls, differentiated by torch.autograd."""
        device = self._checked(function, device)
        return NativeGradient(function, device, make_program(function, device, native=True), cost, wrt)

    def run_steps(
        self,
        executable: Executable,
        state: Mapping[str, torch.Tensor],
        resident: Mapping[str, torch.Tensor],
        per_step: Mapping[str, torch.Tensor],
        steps: int,
    ) -> tuple[dict[str, HostArray], dict[str, torch.Tensor]]:
        """All steps on one copy of the state; results come to the host together, at the end."""
        if isinstance(executable, NativeGradient):
            return super().run_steps(executable, state, resident, per_step, steps)
        compiled = check_executable(executable, TorchExecutable)
        return compiled.run_steps(state, resident, per_step, check_steps(steps, resident, per_step))

    def limit_threads(self, threads: int) -> AbstractContextManager[None]:
        """Limits PyTorch's threads within operations, in the whole process, and puts the number back."""
        return _limits(threads)

    def precision(self, dtype: str, device: str) -> str:
        """ "tf32" for float32 where a switch of PyTorch lets matrix products or convolutions use it."""
        if dtype == "float32" and device.startswith("cuda"):
            products, cudnn = torch.backends.cuda.matmul, cast(Any, torch.backends.cudnn)
            if "tf32" in (products.fp32_precision, cudnn.conv.fp32_precision):
                return "tf32"
        return dtype

    def compilation_key(self, device: str) -> Hashable:
        return super().compilation_key(device), self._torch_compile

    def _checked(self, function: Function, device: str) -> str:
        device = self.resolve_device(device)
        check_primitives(self.name, function, LOWERINGS)
        for dtype in {node.dtype for node in function.nodes}:
            _check_dtype(dtype, device)
        return device


def _accelerator() -> str | None:
    """The kind of accelerator that PyTorch reports ("cuda", "mps", "xpu"), if there is one."""
    found = torch.accelerator.current_accelerator(check_available=True)
    return None if found is None else found.type


def _check_dtype(dtype: str, device: str) -> None:
    if dtype == "float64" and device.partition(":")[0] in _SINGLE_PRECISION:
        raise UnsupportedError(f"the device {device!r} of backend 'torch' has no float64; use float32 or cpu")


class _Memory:
    """An array's memory without its read-only flag; the array lives as long as this does."""

    def __init__(self, array: HostArray) -> None:
        self._array = array
        address, _ = array.__array_interface__["data"]
        self.__array_interface__ = {**array.__array_interface__, "data": (address, False)}


def _writable(array: HostArray) -> HostArray:
    """The same memory, for PyTorch, which warns of what it can not protect; nothing here writes to inputs."""
    return array if array.flags.writeable else np.asarray(_Memory(array))
