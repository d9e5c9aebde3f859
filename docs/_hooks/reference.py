"""The pages of the reference: one for each public module, and every public name on one of them.

A module is public if it has an `__all__`: all modules of the core, and the top of each other distribution.
Sources are read, not imported, so that no framework has to be installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import griffe
from markup import escaped, table

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [ROOT / "core/src", ROOT / "conformance/src", *sorted(ROOT.glob("backends/*/src")), *sorted(
    ROOT.glob("datasets/*/src"))]  # fmt: skip
FOLDER = "reference"


@cache
def modules() -> dict[str, griffe.Module]:
    """The public modules by name."""
    collection = griffe.ModulesCollection()
    found: dict[str, griffe.Module] = {}
    for source in SOURCES:
        for top in sorted(path.parent.name for path in source.glob("*/__init__.py")):
            loaded = griffe.load(
                top, search_paths=SOURCES, submodules=True, modules_collection=collection,
                docstring_parser="numpy",
            )  # fmt: skip
            assert isinstance(loaded, griffe.Module)
            within = _walk(loaded) if source == SOURCES[0] else [loaded]
            found |= {module.path: module for module in within if module.exports}
    whole = {name for name, module in found.items() if _is_part(module, found)}
    return {name: module for name, module in sorted(found.items()) if name not in whole}


def _walk(module: griffe.Module) -> Iterator[griffe.Module]:
    yield module
    for member in module.members.values():
        if isinstance(member, griffe.Module):
            yield from _walk(member)


def _is_part(module: griffe.Module, found: dict[str, griffe.Module]) -> bool:
    """Whether a public module above has all of this one's names."""
    parent = found.get(module.path.rpartition(".")[0])
    return parent is not None and set(names(module)) <= set(names(parent))


def names(module: griffe.Module) -> list[str]:
    """What a module's `__all__` has, but for `__version__` and the like."""
    return [name for name in map(str, module.exports or ()) if not name.startswith("__")]


def target(module: griffe.Module, name: str) -> griffe.Object:
    """What a public name stands for, where it is defined.

    A name that is assigned the method of an object of the module, such as a registry, stands for that method.

    Raises
    ------
    LookupError
        If it is nowhere.
    """
    try:
        found = _defined(module.members[name])
        if isinstance(found, griffe.Attribute) and isinstance(found.value, griffe.ExprAttribute):
            owner, method = map(str, found.value.values)
            made = module.members.get(owner)
            if isinstance(made, griffe.Attribute) and isinstance(made.value, griffe.ExprCall):
                kind = _defined(module.modules_collection[made.value.function.canonical_path])
                return _defined(kind.members[method])
    except (KeyError, griffe.AliasResolutionError) as error:
        raise LookupError(f"{module.path}.{name} is in __all__ and can not be found: {error}") from error
    return found


def _defined(member: griffe.Object | griffe.Alias) -> griffe.Object:
    return member.final_target if isinstance(member, griffe.Alias) else member


def home(found: griffe.Object) -> str:
    """The public module on whose page an object is described."""
    offering = [name for name, module in modules().items() if found.path in _offered(module.path)]
    inside = [name for name in offering if found.path.startswith(f"{name}.")]
    return max(inside or offering, key=len)


@cache
def _offered(module: str) -> frozenset[str]:
    public = modules()[module]
    return frozenset(target(public, name).path for name in names(public))


def source(found: griffe.Object) -> str:
    """The file of a module, or of what is in it, seen from the repository's root."""
    assert isinstance(found.filepath, Path)
    return found.filepath.relative_to(ROOT).as_posix()


@cache
def objects() -> dict[tuple[str, str], str]:
    """From a source file and a public name that is defined in it to its full name."""
    public = (target(module, name) for module in modules().values() for name in names(module))
    return {(source(found), found.name): found.path for found in public}


def undocumented() -> list[str]:
    """The public modules, names, methods and properties that say nothing of themselves.

    A method that overrides one with a docstring is described there.
    """
    missing = []
    for module in modules().values():
        if not module.has_docstring:
            missing.append(module.path)
        for name in names(module):
            found = target(module, name)
            if not found.has_docstring:
                missing.append(f"{module.path}.{name}")
            if isinstance(found, griffe.Class):
                missing += [member.path for member in _members(found) if not _described(found, member)]
    return sorted(set(missing))


def _members(of: griffe.Class) -> Iterator[griffe.Object]:
    for name, member in of.members.items():
        if name.startswith("_") or isinstance(member, griffe.Alias):
            continue
        if member.is_function or "property" in member.labels:
            yield member


def _described(of: griffe.Class, member: griffe.Object) -> bool:
    return member.has_docstring or any(
        base.members[member.name].has_docstring for base in of.mro() if member.name in base.members
    )


def summary(found: griffe.Object) -> str:
    """The first paragraph of a docstring."""
    return found.docstring.value.partition("\n\n")[0] if found.docstring else ""


def _is_primitive(found: griffe.Object) -> bool:
    """Whether it is a shape rule: then the page on the graph language describes it."""
    return isinstance(found, griffe.Function) and any(
        str(decorator.value).startswith("primitive(") for decorator in found.decorators
    )


def page(module: griffe.Module) -> str:
    """The page of a public module, in Markdown for mkdocstrings."""
    here, elsewhere = [], []
    for name in sorted(names(module), key=str.lower):
        found = target(module, name)
        if _is_primitive(found):
            anchor = found.name.rstrip("_")
            elsewhere.append((f"[`{name}`](../graph-language.md#{anchor})", escaped(summary(found))))
        elif isinstance(found.parent, griffe.Class) or home(found) != module.path:
            elsewhere.append((f"[`{name}`][{found.path}]", escaped(summary(found))))
        else:
            here.append(f"::: {found.path}")
    options = ("members", "show_root_heading", "show_root_toc_entry")
    lines = [f"::: {module.path}", "    options:", *(f"      {option}: false" for option in options)]
    title = f"# {module.path}\n\n" + "\n".join(lines)
    rest = [table(("elsewhere", ""), elsewhere)] if elsewhere else []
    return "\n\n".join([title, *rest, *here]) + "\n"


def pages() -> dict[str, str]:
    """The pages by their place in the site.

    Raises
    ------
    LookupError
        If a public name says nothing of itself.
    """
    missing = undocumented()
    if missing:
        raise LookupError(f"public names without a docstring: {', '.join(missing)}")
    return {f"{FOLDER}/{name}.md": page(module) for name, module in modules().items()}


def hooks() -> str:
    """The hooks of the plugin system, each with its docstring.

    Raises
    ------
    LookupError
        If one has none.
    """
    griffe_module = modules()["isograd.plugins"].members["hookspecs"]
    assert isinstance(griffe_module, griffe.Module)
    parts = []
    for name, member in griffe_module.members.items():
        if not isinstance(member, griffe.Function) or not member.decorators:
            continue
        if not member.has_docstring:
            raise LookupError(f"the hook {name!r} has no docstring")
        parts.append(f"::: {member.path}")
    return "\n\n".join(parts)
