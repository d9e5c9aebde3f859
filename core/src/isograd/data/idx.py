"""IDX, the format of the MNIST files: a magic number, the dimensions, and the values, all big-endian.

Byte 0 and 1 are zero, byte 2 names the type, byte 3 counts the dimensions, and each dimension is an unsigned
32-bit number. Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits".
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from isograd.data.dataset import Dataset
from isograd.data.files import (
    DEFAULT_MAX_BYTES,
    PathLike,
    check_size,
    file_name,
    read_exactly,
    read_up_to,
    unpacked,
)
from isograd.data.splits import DatasetSplits
from isograd.errors import FileAccessError, FileFormatError, IsogradError

_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
# NumPy's own limit; the format could announce 255.
_MAX_DIMENSIONS = 64


def read_idx(
    path: PathLike, *, max_bytes: int = DEFAULT_MAX_BYTES, sha256: str | None = None
) -> npt.NDArray[Any]:
    """One array from an IDX file, gzipped or not; read-only, in the machine's byte order.

    Parameters
    ----------
    path : str or path
    max_bytes : int
        The most that the values may take, unpacked.
    sha256 : str, optional
        The digest that the unpacked file must have, in hexadecimal.

    Raises
    ------
    FileAccessError
        The file can not be read.
    FileFormatError
        It is not IDX, is truncated, goes on after its values, unpacks to more than `max_bytes`, or has
        another digest.
    """
    source = file_name(path)
    with unpacked(path) as stream:
        header, dtype, shape = _read_header(stream, source)
        size = math.prod(shape) * dtype.itemsize
        check_size(size, max_bytes, source)
        content = read_exactly(stream, size, source)
    if sha256 is not None:
        digest = hashlib.sha256(header)
        digest.update(content)
        if digest.hexdigest() != sha256.lower():
            raise FileFormatError(
                f"{source}: contents not as expected: their SHA-256 is {digest.hexdigest()}, not {sha256}"
            )
    array = np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)
    array.flags.writeable = False
    return array


def read_idx_pair(
    images: PathLike, labels: PathLike, *, max_bytes: int = DEFAULT_MAX_BYTES, name: str = ""
) -> Dataset:
    """A data set from two IDX files, of inputs and of labels.

    Grey images of shape (n, height, width) get the channel axis that networks expect: (n, 1, height, width).
    Bytes stay uint8 and get the scale 1/256; other types get the scale 1.

    Raises
    ------
    FileAccessError, FileFormatError
        As for `read_idx`; also if the two files do not fit together.
    """
    inputs = read_idx(images, max_bytes=max_bytes)
    targets = read_idx(labels, max_bytes=max_bytes)
    if targets.dtype.kind == "f":
        raise FileFormatError(
            f"{file_name(images)} and {file_name(labels)}: labels are {targets.dtype}; expected integers"
        )
    if inputs.ndim == 3:
        inputs = inputs[:, np.newaxis]
    scale = 1 / 256 if inputs.dtype == np.uint8 else 1.0
    try:
        return Dataset(inputs, targets, scale=scale, name=name)
    except IsogradError as error:
        raise FileFormatError(f"{file_name(images)} and {file_name(labels)}: {error}") from error


def read_idx_folder(folder: PathLike, *, max_bytes: int = DEFAULT_MAX_BYTES) -> DatasetSplits:
    """Training and test data of a folder with MNIST's four files, with or without ``.gz``.

    Their names are ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte`` and
    ``t10k-labels-idx1-ubyte``. They hold no validation data: see `DatasetSplits.hold_out`.

    Raises
    ------
    FileAccessError, FileFormatError
        A file is missing or not as it should be.
    """
    name = Path(file_name(folder)).name
    training, test = (
        read_idx_pair(
            _find(folder, f"{part}-images-idx3-ubyte"),
            _find(folder, f"{part}-labels-idx1-ubyte"),
            max_bytes=max_bytes,
            name=name,
        )
        for part in ("train", "t10k")
    )
    return DatasetSplits(training, test=test)


def _find(folder: PathLike, name: str) -> Path:
    for candidate in (Path(folder, name), Path(folder, f"{name}.gz")):
        if candidate.is_file():
            return candidate
    raise FileAccessError(f"{file_name(folder)}: expected a folder that holds {name} or {name}.gz")


def _read_header(stream: IO[bytes], source: str) -> tuple[bytes, np.dtype[Any], tuple[int, ...]]:
    """The header's bytes, and what they say; each number is checked before it is used."""
    magic = read_up_to(stream, 4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _DTYPES:
        codes = ", ".join(f"{code:02x}" for code in _DTYPES)
        raise FileFormatError(
            f"{source}: not an IDX file: it begins with {magic.hex(' ') or 'nothing'}; expected 00 00, a "
            f"type ({codes}) and the number of dimensions"
        )
    rank = magic[3]
    if not 1 <= rank <= _MAX_DIMENSIONS:
        raise FileFormatError(f"{source}: expected 1 to {_MAX_DIMENSIONS} dimensions, the header says {rank}")
    words = read_up_to(stream, 4 * rank)
    if len(words) < 4 * rank:
        raise FileFormatError(f"{source}: truncated within its header")
    shape = tuple(np.frombuffer(words, ">u4").tolist())
    if 0 in shape:
        raise FileFormatError(f"{source}: holds no data: its header announces the shape {shape}")
    return magic + words, np.dtype(_DTYPES[magic[2]]), shape
