"""Faults in what core derives from a graph: gradients, and simpler graphs of the same bits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from isograd import graph as G
from isograd.backend import Backend
from isograd.graph import Function, Tensor
from isograd_conformance.faults.catalogue.training import contract, gradient_of
from isograd_conformance.faults.fault import Fault, Witness
from isograd_conformance.faults.patching import Patch

RULES, DERIVED, SIMPLIFY = (f"isograd.graph.{name}:" for name in ("gradient", "derived", "simplify"))


def simplified(build: Callable[[Tensor], Tensor], *values: float, dtype: str = "float32") -> Witness:
    """The bits of a function that was simplified before it was compiled."""

    def look(backend: Backend) -> object:
        x = G.variable("x", (len(values),), dtype)
        function = G.simplify(Function({"x": x}, {"y": build(x)}))
        executable = backend.compile(function, backend.devices()[0])
        given = backend.to_device(np.asarray(values, dtype), backend.devices()[0])
        return backend.to_host(executable({"x": given}, {})[0]["y"]).tobytes()

    return look


FAULTS: tuple[Fault, ...] = (
    # Gradients
    contract(
        "a tanh with a wrong derivative",
        gradient_of(G.tanh, 0.5, -1.0),
        Patch(RULES + "_tanh", "1 - y * y", "1 - y"),
    ),
    contract(
        "a sigmoid with half its derivative",
        gradient_of(G.sigmoid, 0.5, -1.0),
        Patch(RULES + "_sigmoid", "(y * (1 - y))", "(y * (1 - y)) * 0.5"),
        likely="symbolic_gradients",
    ),
    contract(
        "a softplus with a wrong derivative",
        gradient_of(G.softplus, 0.5, -1.0),
        Patch(RULES + "_softplus", "p.sigmoid(y.inputs[0])", "p.sigmoid(-y.inputs[0])"),
    ),
    contract(
        "the sign of a divisor's gradient",
        gradient_of(lambda x: 1 / x, 0.5, -1.0),
        Patch(RULES + "_div", "-(g * y / b)", "g * y / b"),
    ),
    contract(
        "the gradient of a shared value overwritten",
        gradient_of(lambda x: G.exp(x) + x * x, 0.5),
        Patch(
            RULES + "_walk", "contribution if known is None else p.add(known, contribution)", "contribution"
        ),
    ),
    contract(
        "a broadcast gradient not summed",
        gradient_of(lambda x: G.broadcast_to(x, (3, 2)), 0.5, 1.0),
        Patch(RULES + "_broadcast_to", "p.reduce_sum(g, axes=repeated)", "p.reduce_max(g, axes=repeated)"),
    ),
    contract(
        "a gradient through stop_gradient",
        gradient_of(lambda x: G.stop_gradient(x) * x, 0.5),
        Patch(
            RULES + "_no_gradient",
            "[None] * len(y.inputs)",
            '[g if y.primitive == "stop_gradient" else None] * len(y.inputs)',
        ),
    ),
    # Simplification
    contract(
        "constants folded in single precision",
        simplified(lambda x: x + G.constant(np.asarray([1 / 3]), "float64") * 3.3, 0.5, dtype="float64"),
        Patch(
            SIMPLIFY + "_evaluated",
            "evaluate([tensor])[0]",
            'evaluate([tensor], precision="float32")[0], tensor.dtype',
        ),
    ),
    contract(
        "a product with something that is 1 somewhere",
        simplified(lambda x: x * G.constant(np.asarray([1.0, 2.0]), "float32"), 3.0, 5.0),
        Patch(SIMPLIFY + "_is_one", "np.all", "np.any"),
    ),
    contract(
        "padding with 0 and with -0 taken for the same",
        simplified(
            lambda x: G.concat(
                *(G.pad(x, low=[1], high=[0], interior=[0], value=v) for v in (0.0, -0.0)), axis=0
            ),
            1.0,
        ),
        Patch(SIMPLIFY + "_bits", "value.hex() if isinstance(value, float) else value", "value"),
    ),
)
