"""What the scripts of failures call: a function on a backend, held to the bound."""

from __future__ import annotations

import base64
import math
import zlib

import numpy as np

from isograd.errors import ArgumentError
from isograd.graph import Function, format_graph
from isograd_conformance.checks import judge_call
from isograd_conformance.subject import HostArray, HostArrays, Subject


def replay(specification: str, function: Function, inputs: HostArrays, state: HostArrays) -> int:
    """Compute a function on a backend, print how each result compares, and return the exit code.

    Parameters
    ----------
    specification : str
        "NAME[:DEVICE]".
    function : Function
    inputs, state : mapping of name to ndarray

    Returns
    -------
    int
        0 where all results agree with the reference within the bound, else 1.
    """
    subject = Subject.choose(specification)
    print(format_graph(function.outputs, function.updates))
    wrong = False
    for judgement in judge_call(subject, function, inputs, state):
        agrees = judgement.problem is None
        wrong = wrong or not agrees
        print(f"{specification}: {judgement.name}: {'agrees' if agrees else judgement.problem}")
    return int(wrong)


def packed(data: str, shape: tuple[int, ...], dtype: str) -> HostArray:
    """The array of a script: base64 of the compressed bytes.

    Raises
    ------
    ArgumentError
        If the bytes are not as many as shape and dtype need.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(base64.b64decode(data), size + 1)
    if len(content) != size:
        raise ArgumentError(f"data has {len(content)} bytes or more; {dtype}{list(shape)} needs {size}")
    return np.frombuffer(content, dtype).reshape(shape).copy()
