"""A function together with gradients by autograd: the same operations, run on arrays that autograd traces."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from autograd import grad
from autograd.tracer import getval

from isograd.graph import Function, check_gradient
from isograd.interpreter import Interpreter
from isograd_autograd.operations import Array, apply

Arrays = dict[str, Array]


class NativeGradient:
    """An executable with the outputs of a function, and "gradient/NAME" for each NAME in `wrt`."""

    def __init__(self, function: Function, device: str, cost: str, wrt: Sequence[str]) -> None:
        check_gradient(function, cost, wrt)
        self.function = function
        self.device = device
        self._cost = cost
        self._wrt = tuple(wrt)
        self._interpreter = Interpreter(function, device, apply)

    def __call__(self, inputs: Mapping[str, Array], state: Mapping[str, Array]) -> tuple[Arrays, Arrays]:
        self.function.check_call(inputs, state)
        given, runs = {**inputs, **state}, []

        def cost_of(chosen: Any) -> Any:
            traced = {**given, **{name: chosen[name] for name in self._wrt}}
            outputs, new = self._interpreter.evaluate(traced, {name: traced[name] for name in state})
            runs.append((outputs, new))
            return outputs[self._cost]

        with np.errstate(all="ignore"):
            gradients = grad(cost_of)({name: given[name] for name in self._wrt})
        outputs, new = ({name: np.asarray(getval(x)) for name, x in part.items()} for part in runs[0])
        for name, g in gradients.items():
            # Some of autograd's rules answer in float64.
            outputs[f"gradient/{name}"] = np.asarray(g, given[name].dtype)
        return outputs, new
