"""`Tensor`, a symbolic value with a static shape and dtype, and the table of primitives that make one."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from types import MappingProxyType
from typing import Any, ParamSpec, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from isograd.errors import ArgumentError, ArgumentTypeError, ShapeError
from isograd.graph.dtypes import DType, as_dtype

Shape = tuple[int, ...]
Array = npt.NDArray[Any]
Scalar = bool | int | float
P = ParamSpec("P")


@dataclass(frozen=True)
class Application:
    """What a shape rule answers: the operands, the result's shape and dtype, the normalised attributes."""

    inputs: tuple[Tensor, ...]
    shape: Shape
    dtype: DType
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Primitive:
    """One row of the table.

    Attributes
    ----------
    name, group : str
    build : callable
        Takes the operands by position and the static attributes by keyword, checks them, returns a `Tensor`.
    meaning : str
        The exact meaning: part of the specification that every backend implements.
    """

    name: str
    group: str
    build: Callable[..., Tensor]
    meaning: str


PRIMITIVES: dict[str, Primitive] = {}
"""The table of primitives, by name."""


def primitive(group: str) -> Callable[[Callable[P, Application]], Callable[P, Tensor]]:
    """Enter a shape rule into the table under its own name; its docstring is the primitive's meaning."""

    def enter(rule: Callable[P, Application]) -> Callable[P, Tensor]:
        name = rule.__name__.rstrip("_")

        @wraps(rule)
        def build(*args: P.args, **kwargs: P.kwargs) -> Tensor:
            applied = rule(*args, **kwargs)
            return Tensor(name, applied.inputs, applied.shape, applied.dtype, applied.attributes)

        PRIMITIVES[name] = Primitive(name, group, build, inspect.getdoc(rule) or "")
        return build

    return enter


class Tensor:
    """A symbolic value: the result of one primitive applied to other tensors.

    Tensors are immutable, compare by identity and hold no computed numbers. The operators ``+ - * / @``,
    ``**`` with a number, ``>``, ``<``, unary ``-`` and indexing with slices build further tensors; they
    insert `broadcast_to` and `cast` where NumPy would broadcast and promote, so that the primitives below
    them see operands of one shape and one dtype. A Python number takes the dtype of the tensor beside it.

    Attributes
    ----------
    primitive : str
        The name of the primitive, `"variable"` or `"constant"`.
    inputs : tuple of Tensor
    shape : tuple of int
    dtype : str
        float32, float64, int32, bool or uint8.
    attributes : mapping
        The primitive's static attributes.
    """

    __slots__ = ("__weakref__", "attributes", "dtype", "inputs", "primitive", "shape")

    def __init__(
        self,
        primitive: str,
        inputs: tuple[Tensor, ...],
        shape: Shape,
        dtype: DType,
        attributes: Mapping[str, Any],
    ) -> None:
        self.primitive = primitive
        self.inputs = inputs
        self.shape = shape
        self.dtype = dtype
        self.attributes = MappingProxyType(dict(attributes))

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def name(self) -> str:
        """A variable's name; empty for every other tensor."""
        return str(self.attributes["name"]) if self.primitive == "variable" else ""

    def __repr__(self) -> str:
        label = f" {self.name!r}" if self.name else ""
        return f"<Tensor {self.primitive}{label} {self.dtype}{list(self.shape)}>"

    def __bool__(self) -> bool:
        raise ArgumentTypeError(
            f"{self!r} is symbolic and has no truth value; use `where` to choose between two tensors"
        )

    def __iter__(self) -> Iterator[Tensor]:
        raise ArgumentTypeError(f"{self!r} can not be iterated over; index it with slices instead")

    # Arithmetic. NumPy leaves an array on the left of an operator to the reflected methods, too.
    __array_ufunc__ = None

    def __add__(self, other: TensorLike) -> Tensor:
        return _operators.add(self, other)

    def __radd__(self, other: TensorLike) -> Tensor:
        return _operators.add(other, self)

    def __sub__(self, other: TensorLike) -> Tensor:
        return _operators.sub(self, other)

    def __rsub__(self, other: TensorLike) -> Tensor:
        return _operators.sub(other, self)

    def __mul__(self, other: TensorLike) -> Tensor:
        return _operators.mul(self, other)

    def __rmul__(self, other: TensorLike) -> Tensor:
        return _operators.mul(other, self)

    def __truediv__(self, other: TensorLike) -> Tensor:
        return _operators.div(self, other)

    def __rtruediv__(self, other: TensorLike) -> Tensor:
        return _operators.div(other, self)

    def __matmul__(self, other: Tensor) -> Tensor:
        return _operators.matmul(self, other)

    def __pow__(self, exponent: float) -> Tensor:
        return _primitives.pow_(self, exponent=exponent)

    def __neg__(self) -> Tensor:
        return _primitives.neg(self)

    def __abs__(self) -> Tensor:
        return _primitives.abs_(self)

    def __gt__(self, other: TensorLike) -> Tensor:
        return _operators.greater(self, other)

    def __lt__(self, other: TensorLike) -> Tensor:
        return _operators.greater(other, self)

    def __getitem__(self, index: slice | int | tuple[slice | int, ...]) -> Tensor:
        return _operators.getitem(self, index)

    def reshape(self, *shape: int) -> Tensor:
        """The same elements in another shape; one size may be -1."""
        return _operators.reshape(self, shape)

    def transpose(self, *axes: int) -> Tensor:
        """Axes reordered; reversed when none is given."""
        return _primitives.transpose(self, axes=axes or tuple(reversed(range(self.ndim))))

    def cast(self, dtype: str) -> Tensor:
        """The primitive `cast`."""
        return _primitives.cast(self, dtype=dtype)

    def sum(self, axes: int | Sequence[int] | None = None, *, keepdims: bool = False) -> Tensor:
        """The primitive `reduce_sum`; with `keepdims` the axes stay, of size 1."""
        return _operators.reduce("reduce_sum", self, axes, keepdims)

    def mean(self, axes: int | Sequence[int] | None = None, *, keepdims: bool = False) -> Tensor:
        """The sum divided by the number of elements that go into each sum."""
        total = self.sum(axes, keepdims=keepdims)
        return total / (self.size / max(total.size, 1))

    def max(self, axes: int | Sequence[int] | None = None, *, keepdims: bool = False) -> Tensor:
        """The primitive `reduce_max`; with `keepdims` the axes stay, of size 1."""
        return _operators.reduce("reduce_max", self, axes, keepdims)


TensorLike = Tensor | Scalar | np.ndarray[Any, Any] | np.generic


def check_shape(shape: Iterable[int], argument: str = "shape") -> Shape:
    """`shape` as a tuple of Python ints, none of them negative."""
    try:
        sizes = tuple(operator.index(n) for n in shape)
    except TypeError:
        raise ArgumentTypeError(f"{argument} is {shape!r}; expected a sequence of whole numbers") from None
    if any(n < 0 for n in sizes):
        raise ShapeError(f"{argument} is {list(sizes)}; sizes can not be negative")
    return sizes


def variable(name: str, shape: Iterable[int], dtype: str = "float32") -> Tensor:
    """A named input or state of a `Function`: a tensor whose value is given when the function runs."""
    if not isinstance(name, str) or not name:
        raise ArgumentError(f"name is {name!r}; a variable needs a non-empty name")
    return Tensor("variable", (), check_shape(shape), as_dtype(dtype), {"name": name})


def constant(value: npt.ArrayLike, dtype: str | None = None) -> Tensor:
    """A tensor whose value is known now. The value is copied; `dtype` defaults to its own."""
    given = np.asarray(value)
    if given.dtype.kind not in "biuf":
        raise ArgumentTypeError(f"value is {value!r}; expected numbers or truth values")
    if dtype is None and not isinstance(value, np.ndarray | np.generic):
        dtype = "float32" if given.dtype == np.float64 else "int32" if given.dtype == np.int64 else None
    kind = as_dtype(given.dtype if dtype is None else dtype)
    if kind in ("int32", "uint8") and given.dtype.kind in "iuf":
        limits = np.iinfo(kind)
        if not np.all((given >= limits.min) & (given <= limits.max) & (given == np.trunc(given))):
            raise ArgumentError(f"value has elements that are no whole numbers in the range of {kind}")
    with np.errstate(over="ignore"):
        array = np.array(given, dtype=kind, order="C")
    if kind == "float32" and np.any(np.isinf(array) & np.isfinite(given)):
        raise ArgumentError("value has elements outside the range of float32")
    array.flags.writeable = False
    return Tensor("constant", (), array.shape, kind, {"value": array})


class Node(Protocol):
    """What has operands of its own kind, such as a `Tensor`."""

    @property
    def inputs(self) -> tuple[Any, ...]: ...


N = TypeVar("N", bound=Node)


def topological(outputs: Iterable[N]) -> list[N]:
    """Every node that `outputs` depend on, each after its operands, in a deterministic order."""
    order: list[N] = []
    done: set[int] = set()
    stack: list[tuple[N, bool]] = [(t, False) for t in reversed(list(outputs))]
    while stack:
        tensor, expanded = stack.pop()
        if id(tensor) in done:
            continue
        if expanded:
            done.add(id(tensor))
            order.append(tensor)
        else:
            stack.append((tensor, True))
            stack.extend((t, False) for t in reversed(tensor.inputs) if id(t) not in done)
    return order


def rebuild(tensor: Tensor, inputs: Sequence[Tensor]) -> Tensor:
    """The same primitive with the same attributes applied to other operands, checked anew."""
    if all(a is b for a, b in zip(tensor.inputs, inputs, strict=True)):
        return tensor
    return PRIMITIVES[tensor.primitive].build(*inputs, **tensor.attributes)


# At the end, because the builders need the primitives, which need what stands above.
from isograd.graph import operators as _operators  # noqa: E402
from isograd.graph import primitives as _primitives  # noqa: E402
