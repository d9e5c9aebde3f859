"""A compiled Function: a pure function of JAX arrays, which several threads may call at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from isograd.errors import ArgumentError, ArgumentTypeError
from isograd.graph import Function, check_gradient
from isograd_jax.precision import in_double_precision
from isograd_jax.program import Carry, call_function, gradient_function, step_function, steps_mode

Arrays = Mapping[str, jax.Array]
HostArray = npt.NDArray[Any]

# Runs of at most so many steps, or as what they are given and return fits into the bytes, share a program.
_COMMON_STEPS = 256
_COMMON_BYTES = 2**25


class JaxExecutable:
    """A Function, compiled by XLA when it is first called with arrays of a new kind.

    Parameters
    ----------
    function : Function
        As it was given, by which arrays are checked.
    simplified : Function
        As it is executed.
    device : str
        The full name.
    place : jax.Device
    """

    def __init__(self, function: Function, simplified: Function, device: str, place: jax.Device) -> None:
        self.function = function
        self.device = device
        self._simplified = simplified
        self._place = place
        self._call = call_function(simplified, place.platform)
        self._steps: dict[frozenset[str], Any] = {}

    @property
    def steps_mode(self) -> str:
        """ "loop" or "step": how `run_steps` runs it, by the rule of `isograd_jax.program`."""
        return steps_mode(self._simplified, self._place.platform)

    @in_double_precision
    def __call__(self, inputs: Arrays, state: Arrays) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
        """The outputs and the new state. Raises as `isograd.backend.Executable` says."""
        self._check({**inputs, **state})
        self.function.check_call(inputs, state)
        outputs, new = self._call(*self.function.in_order(inputs, state))
        return self.function.by_name(outputs, new)

    @in_double_precision
    def run_steps(
        self, state: Arrays, resident: Arrays, per_step: Arrays, steps: int
    ) -> tuple[dict[str, HostArray], dict[str, jax.Array]]:
        """As `Backend.run_steps`: one copy of the state, whose memory the steps use again."""
        self._check({**resident, **per_step, **state})
        self.function.check_run(state, resident, per_step, steps)
        names = frozenset(per_step)
        if names not in self._steps:
            self._steps[names] = step_function(self._simplified, self._place.platform, names)
        run, capacity = self._steps[names], _capacity(steps, self._row_bytes(per_step))
        rows = {name: self._padded(array, capacity) for name, array in per_step.items()}
        carry = self._first(state, capacity)
        if self.steps_mode == "step":
            for _ in range(steps):
                carry = run(carry, dict(resident), rows)
        else:
            carry = run(carry, dict(resident), rows, self._put(np.int32(steps)))
        stacked = [np.array(np.asarray(column)[:steps]) for column in carry.outputs]
        outputs = dict(zip(self.function.outputs, stacked, strict=True))
        return outputs, dict(zip(self.function.state, carry.state, strict=True))

    def _first(self, state: Arrays, capacity: int) -> Carry:
        """The state before the first step, in memory of its own."""
        outputs = self._simplified.outputs.values()
        return Carry(
            self._put(np.int32(0)),
            tuple(state[name].copy() for name in self.function.state),
            tuple(self._put(np.zeros((capacity, *t.shape), t.dtype)) for t in outputs),
        )

    def _padded(self, array: jax.Array, capacity: int) -> jax.Array:
        """As many rows as `capacity`, so that runs of many lengths share one compiled function."""
        missing = capacity - array.shape[0]
        if not missing:
            return array
        return self._put(np.pad(np.asarray(array), [(0, missing), *[(0, 0)] * (array.ndim - 1)]))

    def _row_bytes(self, per_step: Arrays) -> int:
        """How much memory a step takes for what it is given and what it returns."""
        outputs = self.function.outputs.values()
        given = sum(array.nbytes // array.shape[0] for array in per_step.values())
        return given + sum(t.size * np.dtype(t.dtype).itemsize for t in outputs)

    def _put(self, array: Any) -> jax.Array:
        # A copy: memory that is donated must not belong to NumPy.
        moved: jax.Array = jax.device_put(array, self._place, may_alias=False)
        return moved

    def _check(self, arrays: Mapping[str, object]) -> None:
        for name, value in arrays.items():
            if not isinstance(value, jax.Array):
                raise ArgumentTypeError(f"{name} is a {type(value).__name__}; expected a jax.Array")
            if value.devices() != {self._place}:
                places = ", ".join(sorted(map(str, value.devices())))
                raise ArgumentError(f"{name} lies on {places}; expected it on {self.device}")


class NativeGradient(JaxExecutable):
    """A Function together with JAX's own gradients of one of its outputs.

    Parameters
    ----------
    function, device, place
        As for `JaxExecutable`.
    cost : str
    wrt : sequence of str

    Raises
    ------
    ArgumentError, ArgumentTypeError, ShapeError
        If the cost is no floating-point scalar, or a variable is unknown, not floating point, or the cost
        does not depend on it.
    """

    def __init__(
        self, function: Function, device: str, place: jax.Device, cost: str, wrt: Sequence[str]
    ) -> None:
        # Not simplified: `stop_gradient` means something to who differentiates it.
        super().__init__(function, function, device, place)
        check_gradient(function, cost, wrt)
        self._wrt = tuple(wrt)
        self._gradient = gradient_function(function, place.platform, cost, wrt)

    @in_double_precision
    def __call__(self, inputs: Arrays, state: Arrays) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
        """The outputs of the function, "gradient/NAME" for each variable, and the new state."""
        self._check({**inputs, **state})
        self.function.check_call(inputs, state)
        outputs, new, gradients = self._gradient(*self.function.in_order(inputs, state))
        named = {f"gradient/{name}": g for name, g in zip(self._wrt, gradients, strict=True)}
        made, after = self.function.by_name(outputs, new)
        return made | named, after


def _capacity(steps: int, row_bytes: int) -> int:
    """For how many steps to lay out memory: one number for most runs, as another is another program."""
    common = min(_COMMON_STEPS, _power_of_two(_COMMON_BYTES // max(row_bytes, 1)))
    return common if steps <= common else _power_of_two(steps)


def _power_of_two(number: int) -> int:
    """The least that is not less."""
    return 1 << max(number - 1, 0).bit_length()
