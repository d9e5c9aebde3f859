"""What a fault and a correct variant are, and how one is put upon a backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from isograd.backend import Backend

# Put upon a backend for as long as the context lasts.
Apply = Callable[[Backend], AbstractContextManager[Backend]]
# Looks at a backend; what it returns is compared with ==.
Witness = Callable[[Backend], object]


@dataclass(frozen=True)
class Fault:
    """A defect that the suite has to catch.

    Attributes
    ----------
    name : str
        What is wrong, in words; unique.
    kind : str
        Which part of the contract is broken.
    apply : callable
        From a right backend to a context whose value is the faulty one.
    witness : callable
        From a backend to what is observed of it; of the faulty one that is something else.
    likely : tuple of str
        Parts of the names of the tests that run first. It changes nothing but the time that a kill takes.
    dtypes : frozenset of str
        What the backend has to declare for the fault to mean anything.
    """

    name: str
    kind: str
    apply: Apply
    witness: Witness
    likely: tuple[str, ...] = ()
    dtypes: frozenset[str] = frozenset({"float32"})


@dataclass(frozen=True)
class Variant:
    """Another way to be right, which the suite has to let pass.

    Attributes
    ----------
    name : str
        What is different, in words; unique.
    apply : callable
        As of a `Fault`.
    witness : callable
        Shows that the variant is not just the backend itself: another bit, layout or declaration.
    dtypes : frozenset of str
        As of a `Fault`.
    """

    name: str
    apply: Apply
    witness: Witness
    dtypes: frozenset[str] = frozenset({"float32"})

    @property
    def kind(self) -> str:
        """What the table calls it, where a fault has its kind."""
        return "variant"


Planted = Fault | Variant


@contextmanager
def applied(planted: Planted, backend: Backend) -> Iterator[Backend]:
    """The backend with a fault or as a variant, and at the end everything as it was."""
    with planted.apply(backend) as changed:
        yield changed


def shows(planted: Planted, backend: Backend) -> bool:
    """Whether the witness tells the changed backend from the given one."""
    right = planted.witness(backend)
    with applied(planted, backend) as changed:
        return bool(planted.witness(changed) != right)
