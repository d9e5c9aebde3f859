"""NumPy's ``.npz``, read without pickle and with every size checked before memory is taken for it."""

from __future__ import annotations

import math
import zipfile
import zlib
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from isograd.data.dataset import Dataset
from isograd.data.files import DEFAULT_MAX_BYTES, PathLike, check_size, file_name, opened, read_exactly
from isograd.data.splits import DatasetSplits
from isograd.errors import FileFormatError, IsogradError

_PAIRS = (("x", "y"), ("inputs", "labels"), ("images", "labels"))
_SPLITS = {
    "training": ("train", "training"),
    "validation": ("validation", "valid", "val"),
    "test": ("test",),
}
# What NumPy writes. Others may reserve memory by a number in the file (LZMA's dictionary, up to 4 GiB).
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def read_npz(
    path: PathLike, *, max_bytes: int = DEFAULT_MAX_BYTES, scale: float | None = None, name: str = ""
) -> DatasetSplits:
    """The data sets of an ``.npz`` file (`numpy.savez` or `numpy.savez_compressed`).

    Arrays come in pairs of inputs and labels: ``x`` and ``y``, ``inputs`` and ``labels``, or ``images`` and
    ``labels``. Each name carries its split as a suffix or prefix (``x_train``, ``train_images``): ``train``
    or ``training``; ``validation``, ``valid`` or ``val``; ``test``. A file with training data alone may leave
    it out (``x``, ``y``). Other arrays are not read. Labels of shape (n, 1) are taken as (n,).

    Parameters
    ----------
    path : str or path
    max_bytes : int
        The most that the arrays may take together, unpacked.
    scale : float, optional
        The scale of each data set; by default 1/256 for uint8 and 1 for other dtypes.
    name : str
        The name of each data set.

    Raises
    ------
    FileAccessError
        The file can not be read.
    FileFormatError
        It is not ``.npz``, is damaged, has no such arrays, needs pickle, or exceeds `max_bytes`.
    """
    source = file_name(path)
    try:
        with opened(path) as raw, zipfile.ZipFile(raw) as archive:
            pairs = _find_pairs({one.removesuffix(".npy") for one in archive.namelist()}, source)
            members = {key: archive.getinfo(f"{key}.npy") for pair in pairs.values() for key in pair}
            check_size(sum(member.file_size for member in members.values()), max_bytes, source)
            arrays = {key: _read_member(archive, member, source) for key, member in members.items()}
    except (IsogradError, MemoryError):
        raise
    # A damaged archive makes zipfile and zlib raise errors of many types.
    except Exception as error:
        raise FileFormatError(f"{source}: not an .npz file, or damaged: {error}") from error
    sets = {}
    for split, (inputs, labels) in pairs.items():
        try:
            sets[split] = _dataset(arrays[inputs], arrays[labels], scale, name)
        except IsogradError as error:
            raise FileFormatError(f"{source}: {inputs!r} and {labels!r}: {error}") from error
    return DatasetSplits(**sets)


def _dataset(inputs: npt.NDArray[Any], labels: npt.NDArray[Any], scale: float | None, name: str) -> Dataset:
    if scale is None:
        scale = 1 / 256 if inputs.dtype == np.uint8 else 1.0
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels.reshape(-1)
    return Dataset(inputs, labels, scale=scale, name=name)


def _find_pairs(present: set[str], source: str) -> dict[str, tuple[str, str]]:
    """For each split in the file, the names of its inputs and labels."""
    found: dict[str, tuple[str, str]] = {}
    for split, words in _SPLITS.items():
        candidates = [
            (form.format(inputs, word), form.format(labels, word))
            for inputs, labels in _PAIRS
            for word in words
            for form in ("{0}_{1}", "{1}_{0}")
        ]
        if split == "training":
            candidates += _PAIRS
        matches = [pair for pair in candidates if pair[0] in present]
        if len(matches) > 1:
            raise FileFormatError(
                f"{source}: several arrays of {split} inputs: {[one for one, _ in matches]}"
            )
        if matches:
            found[split] = matches[0]
            if matches[0][1] not in present:
                raise FileFormatError(
                    f"{source}: holds {matches[0][0]!r}, but not its labels {matches[0][1]!r}"
                )
    if "training" not in found:
        raise FileFormatError(
            f"{source}: no training data; expected arrays such as 'x_train' and 'y_train', or 'x' and 'y'; "
            f"got {sorted(present)[:20]}"
        )
    return found


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, source: str) -> npt.NDArray[Any]:
    source = f"{source}: {member.filename}"
    if member.compress_type not in _COMPRESSIONS:
        raise FileFormatError(
            f"{source}: expected no compression or deflate, got method {member.compress_type}"
        )
    with archive.open(member) as stream:
        dtype, shape, fortran_order = _read_header(stream, source)
        if dtype.kind not in "biuf":
            raise FileFormatError(
                f"{source}: expected numbers, got {dtype}; objects would need pickle, which runs code"
            )
        if any(extent < 1 for extent in shape):
            raise FileFormatError(f"{source}: holds no data: its shape is {shape}")
        size = math.prod(shape) * dtype.itemsize
        # Of `size` bytes, no more can come than the archive says the member has, which was checked.
        content = read_exactly(stream, size, source)
    flat = np.frombuffer(content, dtype)
    return flat.reshape(shape[::-1]).T if fortran_order else flat.reshape(shape)


def _read_header(stream: IO[bytes], source: str) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    try:
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[
            version
        ]
        shape, fortran_order, dtype = read(stream)
    except (OSError, zipfile.BadZipFile, zlib.error):
        raise
    # The header is a Python literal: what is wrong with it decides which error, up to MemoryError from the
    # parser.
    except Exception as error:
        raise FileFormatError(f"{source}: not an array, or its header is damaged: {error!r}") from error
    return dtype, shape, fortran_order
