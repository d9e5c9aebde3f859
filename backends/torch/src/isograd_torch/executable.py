"""A compiled Function: a pure function of tensors, which several threads may call at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt
import torch

from isograd.errors import ArgumentError, ArgumentTypeError
from isograd.graph import Function, check_gradient
from isograd_torch.memory import keep_freed_memory
from isograd_torch.program import Program

Tensors = Mapping[str, torch.Tensor]
HostArray = npt.NDArray[Any]


class TorchExecutable:
    """A Function and the program that runs it.

    Attributes
    ----------
    function : Function
    device : str
    program : Program
        `program.source` is the Python text of a run.
    """

    def __init__(self, function: Function, device: str, program: Program) -> None:
        self.function = function
        self.device = device
        self.program = program

    def __call__(
        self, inputs: Tensors, state: Tensors
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """The outputs and the new state, in fresh memory. Raises as `isograd.backend.Executable` says."""
        self._check_tensors({**inputs, **state})
        self.function.check_call(inputs, state, to_host=on_host)
        numbers = [inputs[name].item() for name in self.program.numbers]
        with torch.no_grad():
            arguments, owned = self.function.in_order(inputs, self.program.own(dict(state)))
            outputs, new = self.program.run(*arguments, *owned, *numbers)
        return self.function.by_name(outputs, new)

    def run_steps(
        self, state: Tensors, resident: Tensors, per_step: Tensors, steps: int
    ) -> tuple[dict[str, HostArray], dict[str, torch.Tensor]]:
        """As `Backend.run_steps`: one copy of the state, which the steps overwrite."""
        self._check_tensors({**resident, **per_step, **state})
        self.function.check_run(state, resident, per_step, steps, to_host=on_host)
        if self.device == "cpu":
            keep_freed_memory()
        rows = {name: array.unbind(0) for name, array in per_step.items()}
        numbers = [
            per_step[n].tolist() if n in per_step else [resident[n].item()] * steps
            for n in self.program.numbers
        ]
        run, results = self.program.run, []
        with torch.no_grad():
            owned = self.program.own(dict(state))
            current = tuple(owned[name] for name in self.function.state)
            columns = [rows[n] if n in rows else [resident[n]] * steps for n in self.function.inputs]
            for step in range(steps):
                arguments = [column[step] for column in columns]
                outputs, current = run(*arguments, *current, *[values[step] for values in numbers])
                results.append(outputs)
            stacked = [on_host(torch.stack(column)) for column in zip(*results, strict=True)]
        outputs_by_name = dict(zip(self.function.outputs, stacked, strict=True))
        return outputs_by_name, dict(zip(self.function.state, current, strict=True))

    def _check_tensors(self, tensors: Mapping[str, object]) -> None:
        for name, value in tensors.items():
            if not isinstance(value, torch.Tensor):
                raise ArgumentTypeError(f"{name} is a {type(value).__name__}; expected a torch.Tensor")
            if str(value.device) != self.device:
                raise ArgumentError(f"{name} lies on {value.device}; expected it on {self.device}")


class NativeGradient(TorchExecutable):
    """A Function together with PyTorch's own gradients of one of its outputs.

    Parameters
    ----------
    function, device, program
        As for `TorchExecutable`; the program is a native one.
    cost : str
    wrt : sequence of str

    Raises
    ------
    ArgumentError, ArgumentTypeError, ShapeError
        If the cost is no floating-point scalar, or a variable is unknown, not floating point, or the cost
        does not depend on it.
    """

    def __init__(
        self, function: Function, device: str, program: Program, cost: str, wrt: Sequence[str]
    ) -> None:
        super().__init__(function, device, program)
        self._cost, self._wrt = cost, tuple(wrt)
        check_gradient(function, cost, wrt)

    def __call__(
        self, inputs: Tensors, state: Tensors
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """The outputs of the function, "gradient/NAME" for each variable, and the new state."""
        self._check_tensors({**inputs, **state})
        self.function.check_call(inputs, state, to_host=on_host)
        given = {name: value.detach() for name, value in {**inputs, **state}.items()}
        with torch.enable_grad():
            leaves = {name: given[name].clone().requires_grad_() for name in self._wrt}
            given |= leaves
            arguments = [given[name] for name in (*self.function.inputs, *self.function.state)]
            outputs, new = self.program.run(*arguments)
            made, after = self.function.by_name(outputs, new)
            gradients = torch.autograd.grad(made[self._cost], list(leaves.values()), materialize_grads=True)
        named = {f"gradient/{name}": g for name, g in zip(self._wrt, gradients, strict=True)}
        return (
            {name: value.detach() for name, value in made.items()} | named,
            {name: value.detach().clone() for name, value in after.items()},
        )


def on_host(tensor: torch.Tensor) -> HostArray:
    """A tensor as a NumPy array in C order; it shares memory where the tensor lies so on the CPU."""
    array: HostArray = tensor.detach().cpu().contiguous().numpy()
    return array
