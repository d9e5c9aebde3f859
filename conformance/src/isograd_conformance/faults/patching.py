"""Faults in core: the source of a function with a few words exchanged, for as long as a context lasts."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from types import CodeType, FunctionType
from typing import Any

from isograd.backend import Backend
from isograd.compilation import compiled_functions
from isograd_conformance.faults.fault import Apply
from isograd_conformance.faults.wrapping import Wrapped


@dataclass(frozen=True)
class Patch:
    """Words of a function's source, and what stands in their place.

    The function keeps its identity, so that whoever has imported it has the fault.

    Attributes
    ----------
    function : str
        "package.module:name", or "package.module:Class.name" of a method or property.
    old, new : str
        `old` stands in the source exactly once.
    """

    function: str
    old: str
    new: str

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The function with the fault, until the context is left."""
        function = self._found()
        right = function.__code__
        function.__code__ = self._code(function)
        try:
            yield
        finally:
            function.__code__ = right

    def _found(self) -> FunctionType:
        module, _, path = self.function.partition(":")
        found: Any = import_module(module)
        for name in path.split("."):
            found = inspect.getattr_static(found, name)
        found = getattr(found, "fget", found)
        found = inspect.unwrap(getattr(found, "func", found))
        if not isinstance(found, FunctionType):
            raise TypeError(f"{self.function} is a {type(found).__name__}; expected a function")
        return found

    def _code(self, function: FunctionType) -> CodeType:
        source = textwrap.dedent(inspect.getsource(function))
        if source.count(self.old) != 1:
            raise ValueError(
                f"{self.old!r} is {source.count(self.old)} times in {self.function}; expected once"
            )
        tree = ast.parse("from __future__ import annotations\n" + source.replace(self.old, self.new))
        (definition,) = (node for node in tree.body if isinstance(node, ast.FunctionDef))
        definition.decorator_list.clear()
        definition.args.defaults.clear()
        definition.args.kw_defaults = [None] * len(definition.args.kw_defaults)
        made: dict[str, Any] = {}
        exec(compile(tree, f"<{self.function} with a fault>", "exec"), function.__globals__, made)
        code: CodeType = made[function.__name__].__code__
        return code


@contextmanager
def all_applied(patches: tuple[Patch, ...]) -> Iterator[None]:
    """Several patches at once."""
    with ExitStack() as stack:
        for patch in patches:
            stack.enter_context(patch.applied())
        yield


def patched(*patches: Patch) -> Apply:
    """A fault of core: the patches, and the backend as it is."""

    @contextmanager
    def apply(backend: Backend) -> Iterator[Backend]:
        with all_applied(patches):
            yield Wrapped(backend)
        compiled_functions.clear()

    return apply
