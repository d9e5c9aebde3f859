"""Several networks as one file, of the same form as a network's (see `checkpoint`).

The arrays of network i are named "i/PATH", by its parameters' and state's paths, such as "0/1.weight"; the
document (see `tensor_file`) is

    {"format": 1, "isograd": VERSION, "networks": [{"layers": ..., "input_shape": ..., "dtype": ...,
                                                    "seed": ..., "init": ...}, ...]}
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isograd import __version__
from isograd.data.files import file_name
from isograd.errors import ArgumentError, ArgumentTypeError, FileFormatError, IsogradError
from isograd.training import tensor_file
from isograd.training.checkpoint import (
    FORMAT,
    Contents,
    check_arrays,
    check_keys,
    network_from_data,
    network_to_data,
    typed,
)
from isograd.training.state import Arrays

if TYPE_CHECKING:
    from isograd.network import Network

# No ensemble is as large, and a file can not ask for more networks to be made.
MOST_NETWORKS = 1000


def write(path: str | os.PathLike[str], networks: Sequence[Network]) -> None:
    """The networks as a file that replaces one of that name.

    Raises
    ------
    ArgumentError, ArgumentTypeError, ShapeError
        If a function has no registered name, or an array is not as it should be; the message begins with
        networks[i].
    FileAccessError
        If the file can not be written.
    """
    described: list[dict[str, Any]] = []
    arrays: Arrays = {}
    for index, network in enumerate(networks):
        try:
            described.append(network_to_data(network))
            arrays |= {f"{index}/{name}": array for name, array in network.checked_arrays().items()}
        except IsogradError as error:
            raise type(error)(f"networks[{index}]: {error}") from error
    document = {"format": FORMAT, "isograd": __version__, "networks": described}
    tensor_file.write(Path(file_name(path)), document, arrays)


def read(path: str | os.PathLike[str]) -> list[Contents]:
    """The networks that `write` wrote, at least one.

    Raises
    ------
    FileAccessError
        If the file can not be read.
    FileFormatError
        If it is no such file, is truncated or corrupted, has a newer format, or an entry is not as it should
        be; the message names it.
    """
    return tensor_file.read_as(path, FORMAT, _contents)


def is_ensemble(path: str | os.PathLike[str]) -> bool:
    """Whether a file is that of an ensemble, as far as its document says. Raises as `read` does."""
    return "networks" in tensor_file.read_document(path, FORMAT)


def _contents(document: Mapping[str, Any], arrays: Arrays) -> list[Contents]:
    if "network" in document:
        raise FileFormatError("holds one network, not an ensemble; isograd.Network.load reads it")
    check_keys("the document", document, ("format", "isograd", "networks"))
    described = typed("networks", document["networks"], list)
    if not 1 <= len(described) <= MOST_NETWORKS:
        raise FileFormatError(f"networks has {len(described):,}; expected 1 to {MOST_NETWORKS:,}")
    by_network = _by_network(arrays)
    networks = []
    for index, data in enumerate(described):
        own = by_network.pop(str(index), {})
        try:
            network = network_from_data("its entry", data)
            check_arrays(own, network.architecture.array_shapes, network.architecture.dtype)
        except (ArgumentError, ArgumentTypeError, FileFormatError) as error:
            raise FileFormatError(f"networks[{index}]: {error}") from error
        networks.append(replace(network, arrays=own))
    if by_network:
        raise FileFormatError(f"there are arrays of {min(by_network)!r}, which is none of the networks")
    return networks


def _by_network(arrays: Arrays) -> dict[str, Arrays]:
    """The arrays by what is before the first "/" of their names, then by the rest."""
    found: dict[str, Arrays] = {}
    for name, array in arrays.items():
        index, _, path = name.partition("/")
        found.setdefault(index, {})[path] = array
    return found
