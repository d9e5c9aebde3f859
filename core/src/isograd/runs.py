"""Run files: where they are found, the presets of isograd among them, and their text, checked key by key.

What they hold is described in `isograd.run_file`. This module imports neither NumPy nor any layer.
"""

from __future__ import annotations

import re
import reprlib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_type_hints

from isograd.errors import ArgumentError, FileAccessError, FileFormatError
from isograd.run_file import FORMAT, RUN_FILE, DataTable, NetworkTable, RunFile, TrainingTable

__all__ = [
    "RUN_FILE",
    "DataTable",
    "NetworkTable",
    "RunFile",
    "TrainingTable",
    "find_run",
    "parse_run",
    "presets",
    "read_preset",
    "read_run",
]

T = TypeVar("T")

_MAX_BYTES = 2**20


def find_run(run: str) -> RunFile:
    """The run of a TOML file, of a folder that `isograd train` wrote, or of a preset.

    Raises
    ------
    ArgumentError
        If it is none of them; the message lists the presets, the likely ones first.
    FileAccessError, FileFormatError
        As `read_run` does.
    """
    path = Path(run)
    if (path / RUN_FILE).is_file():
        return read_run(path / RUN_FILE)
    if path.suffix == ".toml" or path.is_file():
        return read_run(path)
    if run in presets():
        return read_preset(run)
    close = get_close_matches(run, presets(), n=3) or [name for name in presets() if name.endswith(f"/{run}")]
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    raise ArgumentError(
        f"RUN is {run!r}, neither a file nor a preset; {hint}The presets: {', '.join(presets())}"
    )


def read_run(path: Path) -> RunFile:
    """The run of a TOML file; a path in it is seen from the file.

    Raises
    ------
    FileAccessError
        If the file can not be read.
    FileFormatError
        If it is no UTF-8 or far too large, or what `parse_run` refuses.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        text = content.decode("utf-8")
    except OSError as error:
        raise FileAccessError(f"{path}: can not be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path}: no UTF-8, as TOML has to be: {error}") from error
    if len(content) > _MAX_BYTES:
        raise FileFormatError(f"{path}: more than {_MAX_BYTES:,} bytes, which no run file needs")
    run = parse_run(text, str(path), default_name=_as_name(path))
    if run.data.path is None:
        return run
    return run.override({"data.path": str(path.parent.joinpath(run.data.path).absolute())})


def parse_run(text: str, where: str, default_name: str) -> RunFile:
    """The run that a TOML text describes; `where` begins each message.

    Raises
    ------
    FileFormatError
        If it is no TOML, its format is newer, a key is unknown or missing, or a value has another type.
    """
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{where}: no TOML that can be read: {error}") from error
    found = data.get("format", FORMAT)
    if isinstance(found, int) and found > FORMAT:
        raise FileFormatError(
            f"{where}: format is {found}, which is for a newer isograd; this one reads format {FORMAT}"
        )
    try:
        if found != FORMAT or isinstance(found, bool):
            raise FileFormatError(f"format is {found!r}; expected {FORMAT}")
        run: RunFile = _table(RunFile, {"name": default_name, **data}, "")
    except FileFormatError as error:
        raise FileFormatError(f"{where}: {error}") from error
    return run


@cache
def presets() -> tuple[str, ...]:
    """The names of the presets, such as "chapter6/dbl_conv_relu"."""
    return tuple(sorted(_toml_files(files("isograd") / "presets", "")))


def read_preset(name: str) -> RunFile:
    """A preset by its name."""
    text = (files("isograd") / "presets" / f"{name}.toml").read_text(encoding="utf-8")
    return parse_run(text, f"preset {name}", default_name=name)


def _toml_files(folder: Traversable, prefix: str) -> Iterator[str]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _toml_files(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".toml"):
            yield prefix + entry.name.removesuffix(".toml")


def _as_name(path: Path) -> str:
    """A file's name as a run's, any character that does not fit replaced."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", path.stem).lstrip(".-") or "run"


# What a value in a file may be, by the type of the field; and how messages call it.
_EXPECTED: Mapping[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    dict[str, Any]: "a table",
    tuple[int, ...]: "a list of whole numbers",
    tuple[dict[str, Any], ...]: "a list of tables",
}


def _table(kind: type[T], data: object, path: str) -> T:
    """An instance of a dataclass from a TOML table; `path` is that of the table, with a dot behind."""
    if not isinstance(data, dict):
        raise FileFormatError(f"{path[:-1]} is {reprlib.repr(data)}; expected a table")
    hints = get_type_hints(kind)
    unknown = [_suggest(f"{path}{key}", key, list(hints)) for key in data if key not in hints]
    if unknown:
        raise FileFormatError(f"unknown {'key' if len(unknown) == 1 else 'keys'} {', '.join(unknown)}")
    missing = [
        f"{path}{field.name}"
        for field in fields(kind)  # type: ignore[arg-type]
        if field.name not in data and field.default is MISSING
    ]
    if missing:
        raise FileFormatError(f"{', '.join(missing)} missing")
    return kind(**{key: _value(hints[key], value, f"{path}{key}") for key, value in data.items()})


def _suggest(path: str, key: str, known: list[str]) -> str:
    """An unknown key with the known one that was probably meant, be it in another table."""
    elsewhere = [name for name in _keys() if name.rpartition(".")[2] == key]
    close = elsewhere or get_close_matches(key, known, n=1, cutoff=0)
    return f"{path} (did you mean {close[0]}?)"


@cache
def _keys() -> tuple[str, ...]:
    """Every key of a run file, those in tables with the table's name before them."""
    hints = get_type_hints(RunFile)
    inner = [
        f"{name}.{field.name}" for name, kind in hints.items() if is_dataclass(kind) for field in fields(kind)
    ]
    return (*hints, *inner)


def _value(hint: Any, value: object, path: str) -> Any:
    if is_dataclass(hint) and isinstance(hint, type):
        return _table(hint, value, f"{path}.")
    kinds = [
        kind for kind in (get_args(hint) if isinstance(hint, UnionType) else (hint,)) if kind in _EXPECTED
    ]
    for kind in kinds:
        if _fits(kind, value):
            return tuple(value) if isinstance(value, list) else value
    raise FileFormatError(
        f"{path} is {reprlib.repr(value)}; expected {' or '.join(_EXPECTED[kind] for kind in kinds)}"
    )


def _fits(kind: Any, value: object) -> bool:
    if kind == tuple[int, ...]:
        return isinstance(value, list) and all(_fits(int, item) for item in value)
    if kind == tuple[dict[str, Any], ...]:
        return isinstance(value, list) and all(isinstance(item, dict) for item in value)
    if kind == dict[str, Any]:
        return isinstance(value, dict)
    # A truth value is an int to Python, and to nobody who writes a file.
    accepted = (int, float) if kind is float else kind
    return isinstance(value, accepted) and (kind is bool or not isinstance(value, bool))
