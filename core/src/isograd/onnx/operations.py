"""A graph for any number of rows: what the graphs for two numbers of rows have in common.

isograd's shapes are static, an exported model's first axis is not. So the graph is built for two numbers of
rows, and both are walked in step: a size that is the same in both is a number, one in proportion to the rows
a `Batch`, and what differs in any other way is refused. `isograd.onnx.rows` then proves that examples do not
mix.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from isograd.errors import UnsupportedError
from isograd.graph.tensor import Tensor, topological
from isograd.onnx.rows import check_rows


class Batch(NamedTuple):
    """A size in proportion to the number of rows: so many to an example."""

    times: int


class Owner(NamedTuple):
    """What a node belongs to, such as a layer: as a part of names, and in messages."""

    scope: str
    title: str


Sizes = tuple[int | Batch, ...]


def static(shape: Sizes) -> list[int]:
    """Sizes of a shape, or a part of one, that does not depend on the rows."""
    return [size for size in shape if isinstance(size, int)]


# Primes, so that what one of them divides comes from the rows; beyond what simplification evaluates.
PROBES = (1009, 1013)


@dataclass(frozen=True, eq=False)
class Operation:
    """A node for any number of rows.

    Attributes
    ----------
    primitive : str
        As of a `Tensor`, "variable" and "constant" among them.
    inputs : tuple of Operation
    shape : tuple of int or Batch
    dtype : str
    attributes : mapping
        As of a `Tensor`; sizes may be a `Batch`.
    owner : Owner
    """

    primitive: str
    inputs: tuple[Operation, ...]
    shape: Sizes
    dtype: str
    attributes: Mapping[str, Any]
    owner: Owner

    def __str__(self) -> str:
        return f"{self.owner.title}: {self.primitive}"

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def batch_axis(self) -> int | None:
        """The axis whose size is a `Batch`."""
        return next((axis for axis, size in enumerate(self.shape) if isinstance(size, Batch)), None)


Graph = Sequence[tuple[Owner, Tensor]]


def for_any_rows(build: Callable[[int], Graph]) -> list[Operation]:
    """The operations of tensors whose graph is built for a number of rows.

    Parameters
    ----------
    build : callable
        From a number of rows to pairs of an owner and a tensor. A node belongs to the first owner whose
        tensor depends on it.

    Returns
    -------
    list of Operation
        One a tensor.

    Raises
    ------
    UnsupportedError
        If the graphs for two numbers of rows differ in more than sizes, or an example depends on others.
    """
    first, second = map(build, PROBES)
    owners = _owners(first) | _owners(second)
    order = [owner for owner, _ in first]
    one, other = (topological([tensor for _, tensor in graph]) for graph in (first, second))
    pairs: dict[int, int] = {}
    made: dict[int, Operation] = {}
    for a, b in zip(one, other, strict=False):
        # Where the graphs part, the node of the earlier layer is the one too many.
        owner = min(owners[id(a)], owners[id(b)], key=order.index)
        if a.primitive != b.primitive or [pairs[id(x)] for x in a.inputs] != [id(x) for x in b.inputs]:
            raise _differs(owner, f"it has {_described(a)} or {_described(b)}")
        pairs[id(a)] = id(b)
        made[id(a)] = _operation(a, b, tuple(made[id(x)] for x in a.inputs), owner)
        check_rows(made[id(a)])
    if [pairs.get(id(a)) for _, a in first] != [id(b) for _, b in second]:
        raise _differs(first[-1][0], "it has other nodes")
    return [made[id(tensor)] for _, tensor in first]


def _owners(graph: Graph) -> dict[int, Owner]:
    owners: dict[int, Owner] = {}
    for owner, tensor in graph:
        stack = [tensor]
        while stack:
            node = stack.pop()
            if id(node) not in owners:
                owners[id(node)] = owner
                stack.extend(node.inputs)
    return owners


def _described(tensor: Tensor) -> str:
    operands = ", ".join(x.primitive for x in tensor.inputs)
    return f"{tensor.primitive} of {operands}" if operands else tensor.primitive


def _operation(a: Tensor, b: Tensor, inputs: tuple[Operation, ...], owner: Owner) -> Operation:
    if a.dtype != b.dtype:
        raise _differs(owner, f"{a.primitive} is of {a.dtype} or of {b.dtype}")
    shape = _common(a.shape, b.shape, f"the shape of {a.primitive}", owner)
    attributes = {
        name: _common(value, b.attributes[name], f"{name} of {a.primitive}", owner)
        for name, value in a.attributes.items()
    }
    return Operation(a.primitive, inputs, shape, a.dtype, attributes, owner)


def _common(a: Any, b: Any, what: str, owner: Owner) -> Any:
    """The value that is `a` for the first number of rows and `b` for the second."""
    if isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b):
        return tuple(_common(x, y, what, owner) for x, y in zip(a, b, strict=True))
    kinds = np.asarray(a), np.asarray(b)
    # By their bytes: a NaN equals itself, and -0 is not 0.
    if kinds[0].shape == kinds[1].shape and kinds[0].tobytes() == kinds[1].tobytes():
        return a
    if isinstance(a, int) and isinstance(b, int) and a * PROBES[1] == b * PROBES[0]:
        return Batch(a // PROBES[0])
    raise _differs(owner, f"{what} is not in proportion to it")


def _differs(owner: Owner, how: str) -> UnsupportedError:
    return UnsupportedError(
        f"{owner.title}: its graph depends on the number of rows: {how}; only what is the same for every "
        "number of rows, or sizes in proportion to it, can be exported"
    )
