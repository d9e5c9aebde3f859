"""State updates as linear combinations, so that a backend can make them in place.

A new value such as ``w - eta * (x^T d + c * w)`` is read as coefficients, which are numbers by the time
they are needed, times terms. A backend then scales the state by its own coefficient and adds the other terms
to it; where a term is a matrix product, the product itself may accumulate onto the state, so that no gradient
is written to memory and read again. All updates of a Function are simultaneous: `find_updates` orders them so
that one that reads a state comes before the one that overwrites it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from isograd.graph.dtypes import FLOATING
from isograd.graph.tensor import Tensor
from isograd.graph.uses import Uses

# Whether a node can be accumulated onto the state of this name as it is computed.
Accumulates = Callable[[Tensor, str], bool]


@dataclass(frozen=True)
class Coefficient:
    """A sign times a product of scalar tensors."""

    sign: float
    factors: tuple[Tensor, ...]

    def split(self) -> tuple[float, tuple[Tensor, ...]]:
        """The product of what is known now, and the factors that are known when the function runs."""
        number, varying = self.sign, []
        for factor in self.factors:
            if factor.primitive == "constant":
                number *= float(factor.attributes["value"])
            else:
                varying.append(factor)
        return number, tuple(varying)


@dataclass
class Update:
    """new = sum of coefficient * term, to be done in place on the state's memory.

    Attributes
    ----------
    name : str
    state, root : Tensor
        The variable and its new value.
    terms : list of (Coefficient, Tensor)
    inner : list of Tensor
        Nodes that get no value of their own, the root among them.
    """

    name: str
    state: Tensor
    root: Tensor
    terms: list[tuple[Coefficient, Tensor]]
    inner: list[Tensor]

    @property
    def product(self) -> Tensor | None:
        """The term that is made on the state itself."""
        return next((t for _, t in self.terms if t in self.inner), None)

    @property
    def shares(self) -> list[Coefficient]:
        """What the old value is multiplied by; empty where it has no part in the new one."""
        return [c for c, term in self.terms if term is self.state]

    @property
    def additions(self) -> list[tuple[Coefficient, Tensor]]:
        """The terms but for the state itself, the product first."""
        rest = [(c, term) for c, term in self.terms if term is not self.state]
        return sorted(rest, key=lambda pair: pair[1] is not self.product)

    def operands(self) -> list[Tensor]:
        """What is read while the state is being overwritten."""
        product = self.product
        terms = [t for _, t in self.terms if t is not self.state and t is not product]
        factors = [factor for c, _ in self.terms for factor in c.factors]
        return [*terms, *factors, *(product.inputs if product is not None else ())]


def find_updates(uses: Uses, accumulates: Accumulates) -> list[Update]:
    """The updates that can be done in place, so ordered that each reads what it needs before it is gone.

    They come after every other node of the Function has been computed.

    Parameters
    ----------
    uses : Uses
    accumulates : callable
        Given a node and the name of a state: whether the backend can make the node on the state's memory.
    """
    roots = [id(t) for t in uses.function.updates.values()]
    found = []
    for name, root in uses.function.updates.items():
        if root.dtype in FLOATING and root.inputs and roots.count(id(root)) == 1 and root.size:
            update = Update(name, uses.function.state[name], root, [], [root])
            _expand(uses, accumulates, root, Coefficient(1.0, ()), update, is_root=True)
            if update.inner != [root] or len(update.terms) > 1:
                found.append(update)
    while True:
        usable = [u for u in found if _usable(uses, u, found)]
        if len(usable) < len(found):
            found = usable
            continue
        ordered = _in_order(uses, found)
        if ordered is not None:
            return ordered
        found.pop()  # states that exchange values: one of them is computed aside and copied at the end


def _usable(uses: Uses, update: Update, updates: list[Update]) -> bool:
    """Whether only updates read the new value, and the old one is not needed while it is overwritten."""
    inner = {id(node) for other in updates for node in other.inner}
    read_later = all(id(reader) in inner for reader in uses.consumers[id(update.root)])
    return read_later and not any(uses.viewed_state(x) is update.state for x in update.operands())


def _in_order(uses: Uses, updates: list[Update]) -> list[Update] | None:
    """Readers of a state before its overwriter, makers of a value before its readers; None for a ring."""
    waiting, ordered = list(updates), []
    while waiting:
        ready = next((u for u in waiting if not _blocked(uses, u, waiting)), None)
        if ready is None:
            return None
        ordered.append(ready)
        waiting.remove(ready)
    return ordered


def _blocked(uses: Uses, update: Update, waiting: list[Update]) -> bool:
    others = [other for other in waiting if other is not update]
    reads = [uses.viewed_state(x) for other in others for x in other.operands()]
    made_later = {id(other.root) for other in others}
    return update.state in reads or any(id(x) in made_later for x in update.operands())


def _expand(
    uses: Uses,
    accumulates: Accumulates,
    node: Tensor,
    coefficient: Coefficient,
    update: Update,
    *,
    is_root: bool = False,
) -> None:
    """Add the node to the update's terms, taken apart as far as nobody else needs its parts."""
    if not is_root and (uses.sole_consumer(node) is None or node.shape != update.root.shape):
        update.terms.append((coefficient, node))
        return
    scale = _scale(node)
    if scale is not None:
        scalar, scaled = scale
        factor = Coefficient(coefficient.sign, (*coefficient.factors, scalar))
        if not is_root:
            update.inner.append(node)
        _expand(uses, accumulates, scaled, factor, update)
    elif node.primitive in ("add", "sub", "neg"):
        if not is_root:
            update.inner.append(node)
        signs = {"add": (1.0, 1.0), "sub": (1.0, -1.0), "neg": (-1.0,)}[node.primitive]
        for sign, operand in zip(signs, node.inputs, strict=True):
            inner = Coefficient(sign * coefficient.sign, coefficient.factors)
            _expand(uses, accumulates, operand, inner, update)
    else:
        if not is_root and update.product is None and accumulates(node, update.name):
            update.inner.append(node)
        update.terms.append((coefficient, node))


def _scale(node: Tensor) -> tuple[Tensor, Tensor] | None:
    """(scalar, tensor) of a product with a broadcast scalar."""
    if node.primitive == "mul":
        for repeated, other in (node.inputs, node.inputs[::-1]):
            if repeated.primitive == "broadcast_to" and repeated.inputs[0].shape == ():
                return repeated.inputs[0], other
    return None
