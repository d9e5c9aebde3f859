"""Untrusted files, unpacked piece by piece, never further than a stated size; and files written whole."""

from __future__ import annotations

import gzip
import os
import secrets
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import IO, cast

from isograd.errors import ArgumentTypeError, FileAccessError, FileFormatError

# Enough for every data set of the chapter, a tenth of what a bomb of one megabyte can ask for.
DEFAULT_MAX_BYTES = 2 * 2**30
_PIECE = 2**20
_GZIP = b"\x1f\x8b"

PathLike = str | os.PathLike[str]


@contextmanager
def opened(path: PathLike) -> Iterator[BufferedReader]:
    """The file as it is, binary.

    Raises
    ------
    FileAccessError
        It can not be opened or read.
    """
    shown = file_name(path)
    try:
        with open(path, "rb") as raw:
            yield raw
    except OSError as error:
        raise FileAccessError(f"{shown}: can not be read: {error.strerror or error}") from error


@contextmanager
def unpacked(path: PathLike) -> Iterator[IO[bytes]]:
    """The file, to be read in sequence; unpacked if its first bytes are those of gzip, whatever its name.

    Raises
    ------
    FileAccessError
        It can not be opened or read.
    FileFormatError
        It is corrupt or truncated gzip.
    """
    with opened(path) as raw:
        if raw.peek(2)[:2] != _GZIP:
            yield raw
            return
        try:
            with gzip.open(raw) as stream:
                yield cast(IO[bytes], stream)
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise FileFormatError(f"{file_name(path)}: corrupt or truncated gzip data: {error}") from error


def file_name(path: PathLike) -> str:
    """How messages show a path.

    Raises
    ------
    ArgumentTypeError
        It is not a path (an int would be taken for an open file's number).
    FileAccessError
        It holds a NUL, which no file's name does.
    """
    if not isinstance(path, str | os.PathLike):
        raise ArgumentTypeError(f"path: expected a str or a path, got {type(path).__name__}")
    name = os.fspath(path)
    if "\0" in name:
        raise FileAccessError(f"path: {name!r} is no file's name")
    return name


def read_up_to(stream: IO[bytes], size: int) -> bytes:
    """The next `size` bytes, fewer if the stream ends; memory grows with what arrives, not with `size`."""
    content = BytesIO()
    while (missing := size - content.tell()) and (piece := stream.read(min(_PIECE, missing))):
        content.write(piece)
    return content.getvalue()


def read_exactly(stream: IO[bytes], size: int, source: str) -> bytes:
    """The next `size` bytes, which are also the last.

    Raises
    ------
    FileFormatError
        The stream, which messages call `source`, holds fewer or more.
    """
    content = read_up_to(stream, size)
    if len(content) < size:
        raise FileFormatError(f"{source}: truncated: {size} bytes of data expected, got {len(content)}")
    if stream.read(1):
        raise FileFormatError(f"{source}: more data after the {size} bytes that its header announces")
    return content


def check_size(size: int, max_bytes: int, source: str) -> None:
    """Raise FileFormatError if what `source` unpacks to exceeds the limit."""
    if size > max_bytes:
        raise FileFormatError(f"{source}: {size} bytes of data exceed the limit max_bytes={max_bytes}")


def temporary_beside(path: Path) -> Path:
    """A name in the same folder that nothing has."""
    return path.with_name(f".isograd-{secrets.token_hex(8)}.tmp")


def write_whole(path: Path, content: bytes) -> None:
    """Write to a temporary name in the same folder, then give it the right one.

    Raises
    ------
    FileAccessError
        If the file can not be written. What was there before is then still there.
    """
    # Through a symbolic link, so that the link stays one.
    target = Path(os.path.realpath(path))
    temporary = temporary_beside(target)
    try:
        try:
            with open(temporary, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        if os.name == "posix":
            # The new name itself survives a power failure only once its folder is on the disk.
            folder = os.open(target.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as error:
        raise FileAccessError(f"{path}: can not be written: {error.strerror or error}") from error
