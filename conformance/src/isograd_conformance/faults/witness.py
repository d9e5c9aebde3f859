"""Witnesses: what is looked at to tell a faulty backend from a right one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from isograd import Dropout, FullyConnected, Network, Softmax
from isograd import graph as G
from isograd.backend import Backend
from isograd.errors import IsogradError
from isograd.graph import Function, Tensor
from isograd_conformance.checks import bytes_of, hold
from isograd_conformance.faults.fault import Witness
from isograd_conformance.strategies.networks import toy_digits
from isograd_conformance.subject import HostArray, HostArrays, Subject


def subject(backend: Backend) -> Subject:
    """The backend as the suite sees it, on its default device."""
    return Subject(backend.name, backend, backend.devices()[0])


def within_the_bound(backend: Backend, function: Function, inputs: HostArrays, state: HostArrays) -> bool:
    """Whether one call gives what the reference says, within twice the rounding bound."""
    seen = subject(backend)
    found = seen.call(seen.compile(function), inputs, state)
    try:
        hold(seen, function, found, inputs, state)
    except AssertionError:
        return False
    return True


def bits(backend: Backend, function: Function, inputs: HostArrays, state: HostArrays) -> object:
    """The bytes of the results of one call."""
    seen = subject(backend)
    found = seen.call(seen.compile(function), inputs, state)
    return bytes_of(found.outputs), bytes_of(found.state)


def applied_to(build: Callable[..., Tensor], *operands: Any, dtype: str = "float32") -> tuple[Function, Any]:
    """A function of one output, and its inputs: operands that are no arrays yet become ones of the dtype."""
    arrays = [x if isinstance(x, np.ndarray) else np.asarray(x, dtype) for x in operands]
    variables = [G.variable(f"x{i}", a.shape, a.dtype.name) for i, a in enumerate(arrays)]
    function = Function({x.name: x for x in variables}, {"y": build(*variables)})
    return function, {x.name: a for x, a in zip(variables, arrays, strict=True)}


def value(build: Callable[..., Tensor], *operands: Any, dtype: str = "float32") -> Witness:
    """The value of a tensor of these operands: whether it is within the bound."""
    function, inputs = applied_to(build, *operands, dtype=dtype)
    return lambda backend: within_the_bound(backend, function, inputs, {})


def bit_pattern(build: Callable[..., Tensor], *operands: Any, dtype: str = "float32") -> Witness:
    """The bytes of a tensor of these operands."""
    function, inputs = applied_to(build, *operands, dtype=dtype)
    return lambda backend: bits(backend, function, inputs, {})


def ramp(*shape: int, dtype: str = "float32", step: float = 0.75) -> HostArray:
    """Different numbers of both signs."""
    size = int(np.prod(shape))
    return np.asarray((np.arange(size) * 7 % 11 - 4) * step + np.arange(size) * 0.125, dtype).reshape(shape)


def counted(*numbers: int) -> HostArray:
    """Indices."""
    return np.asarray(numbers, "int32")


def picked_rows() -> tuple[Function, dict[str, HostArray], dict[str, HostArray]]:
    """A function that gathers rows of a table and adds them to its state; inputs and state for it."""
    table, w = G.variable("table", (4, 2), "float32"), G.variable("w", (2, 2), "float32")
    rows = G.variable("rows", (2,), "int32")
    y = G.gather(table, rows)
    function = Function({"table": table, "rows": rows}, {"y": y}, {"w": w}, {"w": w + y})
    inputs = {"table": ramp(4, 2), "rows": np.asarray([0, 3], "int32")}
    return function, inputs, {"w": np.ones((2, 2), "float32")}


def round_trip(array: HostArray) -> Witness:
    """What comes back of an array that was moved to the device."""

    def look(backend: Backend) -> object:
        found = backend.to_host(backend.to_device(array, backend.devices()[0]))
        return type(found), found.shape, found.dtype, found.tobytes()

    return look


def outcome(act: Callable[[Subject], object]) -> Witness:
    """What comes of an action: its result, or the kind of error and whether isograd raised it on purpose."""

    def look(backend: Backend) -> object:
        try:
            return act(subject(backend))
        except (IsogradError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            return type(error).__name__, isinstance(error, IsogradError)

    return look


def run_of_steps(steps: int = 3) -> Witness:
    """Outputs and state of a run of steps that reads its state, its rows and resident data."""

    def look(backend: Backend) -> object:
        seen = subject(backend)
        x, data, w = (G.variable(name, (2,), "float32") for name in ("x", "data", "w"))
        function = Function({"x": x, "data": data}, {"y": w * x + data}, {"w": w}, {"w": w + x * data})
        rows = {"x": ramp(steps, 2)}
        start, resident = {"w": np.asarray([1, 2], "float32")}, {"data": np.asarray([3, -1], "float32")}
        found = seen.run_steps(seen.compile(function), start, resident, rows, steps)
        return bytes_of(found.outputs), bytes_of(found.state)

    return look


def calls(*rows: Sequence[float]) -> Witness:
    """The outputs and the state of calls one after another, all looked at after the last."""

    def look(backend: Backend) -> object:
        seen = subject(backend)
        x, w = (G.variable(name, (2,), "float32") for name in "xw")
        function = Function({"x": x}, {"y": x * 3 + w}, {"w": w}, {"w": w - x * 0.5})
        executable = seen.compile(function)
        given = seen.send({"w": np.asarray([1, 2], "float32")})
        sent = [seen.send({"x": np.asarray(row, "float32")}) for row in rows]
        made = [executable(arrays, given) for arrays in sent]
        kept = [*(part for results in made for part in results), given, *sent]
        return [bytes_of(seen.fetch(part)) for part in kept]

    return look


def small_layers() -> list[Any]:
    """A network with dropout and few weights."""
    return [Dropout(0.25), FullyConnected(6, "tanh", 0.5), Softmax(4, 0.5, weight_init="n_in")]


def trained(
    epochs: int = 2, rows: int = 5, layers: Callable[[], Any] = small_layers, **options: Any
) -> Witness:
    """The SHA-256 of what a run of training makes of a network: parameters and history."""

    def look(backend: Backend) -> object:
        net = Network(layers(), (1, 12, 12), seed=1)
        settings = {"lmbda": 0.1, "momentum": 0.5, **options}
        history = net.SGD(toy_digits(), epochs, rows, 0.1, toy_digits(), backend=backend, **settings)
        told = [(r.cost, r.eta, r.validation_cost, r.validation_accuracy) for r in history.epochs]
        digest = hashlib.sha256(repr(told).encode())
        for path, array in sorted(net.parameters.items()):
            digest.update(path.encode() + array.tobytes())
        return digest.hexdigest()

    return look
