"""A plan: one Function as a straight-line Python function of PyTorch calls.

Lowering emits one call after another; the plan keeps the text and the objects that it names, and compiles
them once. So a step costs what the PyTorch calls cost, intermediate results are freed where they are last
read, several threads may run it, and `Program.source` can be read when something is in doubt::

    def run(images, rows, w1, eta_number):
        v1 = index_select(images, 0, rows)
        ...
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from isograd.graph import Function, Tensor
from isograd.graph.patterns import Softmax, repeated_constant
from isograd.graph.uses import Uses

Run = Callable[..., tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]]

TORCH_DTYPES: dict[str, torch.dtype] = {
    "float32": torch.float32,
    "float64": torch.float64,
    "int32": torch.int32,
    "bool": torch.bool,
    "uint8": torch.uint8,
}


# Calls that only read their arguments, and whose result shares memory with none; lowerings add their own.
FRESH: set[Callable[..., Any]] = {
    torch.add, torch.sub, torch.rsub, torch.mul, torch.div, torch.neg, torch.sqrt, torch.pow, torch.log,
    torch.exp, torch.abs, torch.tanh, torch.sigmoid, torch.clamp_min, torch.maximum,
    torch.minimum, torch.sum, torch.amax, torch.conv2d, torch.mm, torch.addmm,
    torch.constant_pad_nd, torch.index_select,
}  # fmt: skip

# Below so many elements a new tensor costs less than the argument that says where the result goes.
LEAST_REUSED = 2**14


class Name(str):
    """A local variable, or an expression of some, in the text of a plan."""

    __slots__ = ()


@dataclass(frozen=True)
class _Line:
    """A call, the variables that it sets, and those on whose memory it may put its result."""

    names: tuple[Name, ...]
    text: str
    onto: Sequence[Name] = ()


class Plan(Uses, ABC):
    """The text of one Function's run, as it is written.

    Parameters
    ----------
    function : Function
    device : str
        Where constants are put.
    native : bool
        Whether PyTorch will differentiate the calls: nothing is merged, nothing done in place, and operations
        whose own derivative departs from isograd's conventions have one of ours.

    Attributes
    ----------
    numbers : list of str
        The inputs of shape () that `run` takes a second time, as Python numbers, after all other arguments.
    absorbed : set of id of Tensor
        Nodes that have no value of their own: an update or a softmax does their work.
    softmaxes : dict from id of Tensor to Softmax
        Nodes that are computed as one.
    """

    def __init__(self, function: Function, device: str, *, native: bool = False) -> None:
        super().__init__(function)
        self.device = device
        self.native = native
        self.numbers: list[str] = []
        self.absorbed: set[int] = set()
        self.softmaxes: dict[int, Softmax] = {}
        self._names: dict[int, Name] = {}
        self._notes: dict[Any, Name] = {}
        self._lines: list[_Line] = []
        self._own: set[Name] = set()
        self._objects: dict[str, Any] = {}
        self._object_names: dict[int, str] = {}
        self._count = 0
        self._parameters: list[Name] = []
        for variable in (*function.inputs.values(), *function.state.values()):
            name = self._parameter(variable.name)
            self._names[id(variable)] = name
            self._parameters.append(name)

    # Text

    def emit(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Name:
        """Add a call; arguments are names, Python numbers, or anything that the text then refers to."""
        (result,) = self.emit_several(1, function, *arguments, **options)
        return result

    def emit_several(
        self, results: int, function: Callable[..., Any], *arguments: Any, **options: Any
    ) -> tuple[Name, ...]:
        """Add a call that returns a tuple, unless it is of one."""
        names = tuple(self._fresh() for _ in range(results))
        self._add(names, function, arguments, options)
        return names

    def emit_onto(
        self,
        node: Tensor,
        function: Callable[..., Any],
        *arguments: Any,
        onto: Sequence[Tensor] | None = None,
    ) -> Name:
        """Add the call that makes a node and takes `out`, the memory for its result.

        That is the memory of an argument of the same shape and dtype, if nobody reads it later: an operand's,
        where the call is elementwise, or that of one of `onto`, which the call must be able to overwrite.
        """
        name = self._fresh()
        alike = [
            x
            for x in (node.inputs if onto is None else onto)
            if (x.shape, x.dtype) == (node.shape, node.dtype)
        ]
        given = [self._names[id(x)] for x in alike if self._names.get(id(x)) in arguments]
        reuses = node.size >= LEAST_REUSED and not self.native
        self._add((name,), function, arguments, {}, given if reuses else ())
        return name

    def emit_statement(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> None:
        """Add a call for what it does to its first argument."""
        self._add((), function, arguments, options)

    def emit_expression(self, text: str) -> Name:
        """Give an expression of names and numbers a name of its own."""
        name = self._fresh()
        self._lines.append(_Line((name,), text))
        return name

    def number(self, scalar: Tensor) -> Name:
        """A tensor of shape () as a Python number: an argument of its own if it is an input."""
        if self.function.inputs.get(scalar.name) is scalar:
            if scalar.name not in self.numbers:
                self.numbers.append(scalar.name)
            return Name(self._names[id(scalar)] + "_number")
        return self.note(("number", id(scalar)), lambda: self.emit(float, self.value(scalar)))

    def note(self, key: Any, make: Callable[[], Name]) -> Name:
        """What `make` emits, once for each key."""
        if key not in self._notes:
            self._notes[key] = make()
        return self._notes[key]

    def noted(self, key: Any) -> Name:
        """What has been emitted for a key."""
        return self._notes[key]

    # Values

    @abstractmethod
    def lower(self, node: Tensor) -> Name:
        """Emit what computes a node whose operands have been lowered or can be."""

    def value(self, node: Tensor) -> Name:
        """The name of a node's value, of its full shape; lowered now if it has not been."""
        if id(node) not in self._names:
            self._names[id(node)] = self.lower(node)
        return self._names[id(node)]

    def settle(self, node: Tensor, name: Name) -> None:
        """Say under which name a node's value is found from now on."""
        self._names[id(node)] = name

    def array(self, value: np.ndarray[Any, Any]) -> Name:
        """A NumPy array as a tensor on the device; what is repeated in it takes memory once."""
        once = value[tuple(slice(1) if step == 0 else slice(None) for step in value.strides)]
        return self.bind(torch.tensor(once, device=self.device).expand(value.shape))

    def bind(self, thing: Any) -> Name:
        """Any object, by a name of the text."""
        return Name(self._object(thing, "c"))

    def literal(self, node: Tensor) -> bool | int | float | None:
        """The Python number that fills the node, if it is a constant of one number."""
        value = repeated_constant(node)
        if value is None or value.size != 1:
            return None
        number: bool | int | float = value.item()
        return number

    def operands(self, node: Tensor) -> list[Any]:
        """The operands of an elementwise node as PyTorch broadcasts them: numbers, names of smaller tensors.

        At least one is a name of the full shape.
        """
        given = [self.operand(x) for x in node.inputs]
        if all(self._is_smaller(x) for x in node.inputs):
            given[0] = self.value(node.inputs[0])
        return given

    def operand(self, x: Tensor) -> Any:
        """A node as a number, or as the name of what PyTorch broadcasts to the other operands' shape."""
        number = self.literal(x)
        if number is not None and x.dtype != "bool":
            return number
        return self.value(x.inputs[0] if self._is_smaller(x) else x)

    def _is_smaller(self, x: Tensor) -> bool:
        return x.primitive == "broadcast_to" or (self.literal(x) is not None and x.dtype != "bool")

    # Compilation

    def compile(self, outputs: list[Name], state: list[Name]) -> tuple[Run, str]:
        """The function `run(*inputs, *state, *numbers) -> (outputs, new state)`, and its text."""
        self._lines.append(_Line((), f"return {_tuple(outputs)}, {_tuple(state)}"))
        numbers = [f"{self._names[id(self.function.inputs[name])]}_number" for name in self.numbers]
        body = [f"    {line}" for line in self._with_deletions()]
        source = "\n".join([f"def run({', '.join([*self._parameters, *numbers])}):", *body]) + "\n"
        namespace = dict(self._objects)
        # The text is made of names that this class has chosen and of Python's own `repr` of numbers.
        exec(compile(source, "<isograd plan>", "exec"), namespace)
        run: Run = namespace["run"]
        return run, source

    def _with_deletions(self) -> list[str]:
        """The lines, each followed by the deletion of the variables that no later line reads."""
        last: dict[str, int] = {}
        for i, line in enumerate(self._lines):
            for word in (*line.names, *_variables(line.text)):
                last[word] = i
        lines = []
        for i, line in enumerate(self._lines):
            dead = [word for word, at in last.items() if at == i]
            reused = next((name for name in line.onto if name in self._own and name in dead), None)
            text = line.text if reused is None else f"{line.text[:-1]}, out={reused})"
            lines.append(f"{', '.join(line.names)} = {text}" if line.names else text)
            if dead and i < len(self._lines) - 1:
                lines.append(f"del {', '.join(dead)}")
        return lines

    def _add(
        self,
        names: tuple[Name, ...],
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        options: dict[str, Any],
        onto: Sequence[Name] = (),
    ) -> None:
        text = self._call(function, arguments, options)
        if function in FRESH:
            self._own.update(names)
        else:
            # What it returns may look into its arguments.
            self._own.difference_update(map(Name, _variables(text)))
        self._lines.append(_Line(names, text, onto))

    def _call(self, function: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]) -> str:
        parts = [self._argument(a) for a in arguments]
        parts += [f"{key}={self._argument(value)}" for key, value in options.items()]
        return f"{self._object(function, _readable(function))}({', '.join(parts)})"

    def _argument(self, argument: Any) -> str:
        if isinstance(argument, Name):
            return argument
        if isinstance(argument, tuple | list):
            return _tuple([self._argument(a) for a in argument])
        if argument is None or isinstance(argument, bool | int):
            return repr(argument)
        if isinstance(argument, float) and np.isfinite(argument):
            return repr(argument)
        return self._object(argument, "c")

    def _object(self, thing: Any, prefix: str) -> str:
        """The name by which the text refers to an object."""
        if id(thing) not in self._object_names:
            name, count = prefix, 1
            while name in self._objects:
                count += 1
                name = f"{prefix}_{count}"
            self._objects[name] = thing
            self._object_names[id(thing)] = name
        return self._object_names[id(thing)]

    def _fresh(self) -> Name:
        self._count += 1
        return Name(f"v{self._count}")

    def _parameter(self, name: str) -> Name:
        """A variable of a graph as an identifier; the prefix keeps it apart from every other name."""
        plain = "p_" + re.sub(r"\W", "_", name, flags=re.ASCII)
        taken = set(self._parameters)
        return Name(plain if plain not in taken else f"{plain}_{len(taken)}")


def _variables(text: str) -> list[str]:
    return re.findall(r"\bv\d+\b", text)


def _readable(function: Callable[..., Any]) -> str:
    while isinstance(function, partial):
        function = function.func
    # The prefix keeps them apart from variables and from Python's own words.
    return "f_" + re.sub(r"\W", "_", str(getattr(function, "__name__", "function")))


def _tuple(parts: list[Any] | list[str]) -> str:
    return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
