"""One function for every source of data: a name that a plugin offers, or a path."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from isograd.data.files import DEFAULT_MAX_BYTES, PathLike, file_name
from isograd.data.idx import read_idx_folder
from isograd.data.mnist_pickle import read_mnist_pickle
from isograd.data.npz import read_npz
from isograd.data.splits import DatasetSplits
from isograd.errors import ArgumentError, IsogradError, PluginError

# The chapter holds out 10,000 of 60,000.
_VALIDATION_SHARE = 6
_NAME = re.compile(r"[A-Za-z0-9_-]+")


def load_dataset(
    name_or_path: PathLike,
    *,
    feature_shape: Sequence[int] | None = None,
    validation_size: int | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> DatasetSplits:
    """Training, validation and test data: ``training, validation, test = load_dataset("mnist")``.

    Parameters
    ----------
    name_or_path : str or path
        A bare word (letters, digits, ``-`` and ``_``) is the name of a data set that a plugin offers. Else a
        path, of a folder with the four MNIST files (`read_idx_folder`), an ``.npz`` file (`read_npz`), or the
        book's ``.pkl`` or ``.pkl.gz`` (`read_mnist_pickle`). A folder called ``digits`` in the working
        directory is ``./digits``.
    feature_shape : tuple of int, optional
        The shape that one example's inputs get, for example ``(784,)`` or ``(1, 28, 28)``.
    validation_size : int, optional
        How many of the last training examples become the validation set, where the source has none of its
        own. By default a sixth for a folder (the chapter's split) and none for a file.
    max_bytes : int
        The most that a file may unpack to; it does not concern the data of a plugin.

    Raises
    ------
    ArgumentError
        The name is unknown, the kind of the file is unknown, or an option does not fit the data.
    FileAccessError, FileFormatError
        A file can not be read, or is not as it should be.
    PluginError
        The plugin failed.
    """
    shown = file_name(name_or_path)
    if isinstance(name_or_path, str) and _NAME.fullmatch(shown):
        splits = _from_plugin(shown)
    elif (path := Path(shown)).is_dir():
        splits = read_idx_folder(path, max_bytes=max_bytes)
        if validation_size is None:
            validation_size = len(splits.training) // _VALIDATION_SHARE or None
    elif path.name.endswith(".npz"):
        splits = read_npz(path, max_bytes=max_bytes, name=path.name)
    elif path.name.endswith((".pkl", ".pkl.gz")):
        splits = read_mnist_pickle(path, max_bytes=max_bytes, name=path.name)
    else:
        raise ArgumentError(
            f"name_or_path: expected a name, a folder, or a file .npz, .pkl or .pkl.gz; got {shown!r}"
        )
    if validation_size is not None:
        splits = splits.hold_out(validation_size)
    if feature_shape is not None:
        splits = splits.map(lambda part: part.reshape(feature_shape))
    return splits


def _from_plugin(name: str) -> DatasetSplits:
    # Here, because finding plugins takes time that a file does not need.
    from isograd.plugins import load_dataset_plugin

    descriptor = load_dataset_plugin(name)
    try:
        splits = descriptor.load()
    except IsogradError:
        raise
    except Exception as error:
        raise PluginError(f"the data set {name!r} failed to load: {type(error).__name__}: {error}") from error
    if not isinstance(splits, DatasetSplits):
        raise PluginError(f"the data set {name!r} loaded as {type(splits).__name__}; expected DatasetSplits")
    return splits
