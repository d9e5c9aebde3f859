"""`isograd new-backend`: a package to begin a backend with."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Iterator, Mapping
from importlib import metadata
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from isograd import __version__
from isograd.errors import ArgumentError, FileAccessError
from isograd.plugins.descriptors import check_name
from isograd.plugins.known import known

# What the name of each file ends in, so that no tool takes the template for the thing; dropped when written.
SUFFIX = ".template"


def new_backend(
    name: Annotated[str, typer.Argument(help="What users will write: `--backend NAME`.", show_default=False)],
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR]", help="A new or empty folder; by default isograd-NAME.", show_default=False
        ),
    ] = None,
) -> None:
    """Write a package to begin a backend with.

    It wraps NumPy, one operation after another, and passes the conformance suite; you replace one operation
    after another by your library's.
    """
    fields = placeholders(name)
    folder = Path(fields["distribution"]) if folder is None else folder
    _write(fields, folder)
    typer.echo(f"{folder}: the backend {name!r}. To see it pass, then make it yours:\n")
    typer.echo(f"  cd {shlex.quote(str(folder))}")
    typer.echo('  python -m pip install -e ".[test]"')
    typer.echo("  pytest")
    typer.echo(f"  $EDITOR src/{fields['package']}/operations.py")


def placeholders(name: str) -> dict[str, str]:
    """What the placeholders of the template stand for.

    Raises
    ------
    ArgumentError
        If `name` is no backend's name, or one that is taken.
    """
    check_name(name, "NAME")
    distribution = f"isograd-{name.replace('_', '-')}"
    if name in known("backends") or distribution in _own_distributions() or name == "all":
        raise ArgumentError(
            f"NAME is {name!r}, which isograd uses itself; expected another name for your backend"
        )
    major, minor = __version__.split(".")[:2]
    return {
        "name": name,
        "distribution": distribution,
        "package": distribution.replace("-", "_"),
        "class_name": "".join(word.capitalize() for word in distribution.split("-")[1:]) + "Backend",
        "isograd_version": __version__,
        # Until 1.0 any minor version may break what another relies on.
        "next_version": f"0.{int(minor) + 1}" if major == "0" else f"{int(major) + 1}",
    }


def _own_distributions() -> set[str]:
    """The distributions that isograd's extras install."""
    try:
        requirements = metadata.requires("isograd") or []
    except metadata.PackageNotFoundError:
        return set()
    return {line.partition(";")[0].strip() for line in requirements if line.startswith("isograd-")}


def _write(fields: Mapping[str, str], folder: Path) -> None:
    """Write all files to a folder, or none.

    Raises
    ------
    ArgumentError
        If there is something in the folder, or no folder to make it in.
    FileAccessError
        If a file can not be written.
    """
    try:
        if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            raise ArgumentError(
                f"DIR is {str(folder)!r}, which is no empty folder; expected a new or empty one"
            )
        if not folder.parent.is_dir():
            raise ArgumentError(f"DIR is {str(folder)!r}, but {str(folder.parent)!r} is no folder")
        # On the same disk, so that all is moved into place by renames once all is written.
        place = folder if folder.is_dir() else folder.parent
        with tempfile.TemporaryDirectory(dir=place, prefix=".new-backend-") as scratch:
            made = Path(scratch) / "made"
            for path, text in rendered(fields):
                (made / path).parent.mkdir(parents=True, exist_ok=True)
                (made / path).write_text(text, encoding="utf-8")
            if place is folder:  # which may be where the user stands, and so stays
                for entry in list(made.iterdir()):
                    entry.rename(folder / entry.name)
            else:
                made.rename(folder)
    except OSError as error:
        raise FileAccessError(f"{folder}: can not be written: {error.strerror or error}") from error


def rendered(fields: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Path and text of each file, the placeholders replaced in both."""
    for path, source in _files(files("isograd") / "templates" / "backend-plugin"):
        text = source.read_text(encoding="utf-8")
        yield Template(path.removesuffix(SUFFIX)).substitute(fields), Template(text).substitute(fields)


def _files(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        path = f"{prefix}{entry.name}"
        if entry.is_dir():
            yield from _files(entry, f"{path}/")
        elif path.endswith(SUFFIX):
            yield path, entry
