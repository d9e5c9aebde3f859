"""Named arrays and a JSON document in one safetensors file: written whole or not at all, checked when read.

The file's metadata has two texts: "isograd", the JSON document, and "digest", by which any change of document
or arrays is noticed: BLAKE2b with 32 bytes, hexadecimal, of the document's UTF-8 text and then, for each
array in the order of their names, of a line break, ``"{name} {dtype} {shape}"`` (such as ``"0.weight float32
(784, 100)"``), a line break, and its little-endian bytes in C order. It guards against accidents, not against
forgery: the document is checked entry by entry all the same, and memory is used only for what the file holds.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import safetensors
import safetensors.numpy

from isograd.data.files import file_name, temporary_beside, write_whole
from isograd.errors import ArgumentError, ArgumentTypeError, FileAccessError, FileFormatError
from isograd.training.state import Arrays

T = TypeVar("T")

_DTYPES = {"F32": "float32", "F64": "float64"}


def write(path: Path, document: Mapping[str, Any], arrays: Arrays) -> None:
    """Write to a temporary name in the same folder, then give it the right one.

    Raises
    ------
    FileAccessError
        If the file can not be written. What was there before is then still there.
    """
    text = json.dumps(document, allow_nan=False)
    # asarray: ascontiguousarray would give a number an axis.
    tensors = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    content = safetensors.numpy.save(tensors, {"isograd": text, "digest": _digest(text, tensors)})
    write_whole(path, content)


def check_writable(path: Path) -> None:
    """Find out before hours of training whether a file can be written there.

    Raises
    ------
    FileAccessError
        If it can not.
    """
    if path.is_dir():
        raise FileAccessError(f"{path}: is a folder; expected the name of a file")
    temporary = temporary_beside(path)
    try:
        temporary.touch()
        temporary.unlink()
    except OSError as error:
        raise FileAccessError(f"{path}: can not be written: {error.strerror or error}") from error


def read(path: str | os.PathLike[str], newest_format: int) -> tuple[dict[str, Any], Arrays]:
    """The document and the arrays, float32 or float64, of an unchanged file.

    Raises
    ------
    FileAccessError
        If the file can not be read.
    FileFormatError
        If it is not as described above, or its document's "format" is none up to `newest_format`.
    """
    shown = file_name(path)
    with _opened(path) as (file, metadata):
        document = _parse(shown, metadata["isograd"], newest_format)
        # The library has compared every size with the file's before; it knows dtypes that NumPy does not.
        names = list(file.keys())
        for name in names:
            dtype = file.get_slice(name).get_dtype()
            if dtype not in _DTYPES:
                raise FileFormatError(f"{shown}: {name} is {dtype}; expected {' or '.join(_DTYPES)}")
        arrays = {name: file.get_tensor(name) for name in names}
    if metadata.get("digest") != _digest(metadata["isograd"], arrays):
        raise FileFormatError(f"{shown}: corrupted: its content does not have the digest that it states")
    return document, arrays


def read_as(
    path: str | os.PathLike[str], newest_format: int, make: Callable[[dict[str, Any], Arrays], T]
) -> T:
    """What `make` makes of a file's document and arrays; raises as `read`.

    Errors of `make` in an argument or a format become a FileFormatError that begins with the file's name.
    """
    document, arrays = read(path, newest_format)
    try:
        return make(document, arrays)
    except (ArgumentError, ArgumentTypeError, FileFormatError) as error:
        raise FileFormatError(f"{file_name(path)}: {error}") from error


def read_document(path: str | os.PathLike[str], newest_format: int) -> dict[str, Any]:
    """The document alone, to see what the file is for; only `read` notices that a file was changed."""
    with _opened(path) as (_, metadata):
        return _parse(file_name(path), metadata["isograd"], newest_format)


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[tuple[Any, dict[str, str]]]:
    """A file by the library, and its metadata, which have "isograd"; its errors become isograd's."""
    shown = file_name(path)
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise FileAccessError(f"{shown}: is no regular file")
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if "isograd" not in metadata:
                raise FileFormatError(f"{shown}: a safetensors file, but not one that isograd wrote")
            yield file, metadata
    except FileAccessError:
        raise
    except OSError as error:
        raise FileAccessError(f"{shown}: can not be read: {error.strerror or error}") from error
    except safetensors.SafetensorError as error:
        raise FileFormatError(f"{shown}: no safetensors file, or a truncated one: {error}") from error


def _parse(shown: str, text: str, newest_format: int) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{shown}: its metadata are no JSON: {error}") from error
    if not isinstance(document, dict):
        raise FileFormatError(f"{shown}: its metadata are {type(document).__name__}; expected a JSON object")
    found = document.get("format")
    if isinstance(found, bool) or not isinstance(found, int) or found < 1:
        raise FileFormatError(f"{shown}: format is {found!r}; expected a whole number from 1")
    if found > newest_format:
        raise FileFormatError(
            f"{shown}: format is {found}, which a newer isograd wrote; this one reads up to {newest_format}"
        )
    return document


def _digest(text: str, arrays: Arrays) -> str:
    digest = hashlib.blake2b(text.encode(), digest_size=32)
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"\n{name} {array.dtype.name} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
    return digest.hexdigest()
