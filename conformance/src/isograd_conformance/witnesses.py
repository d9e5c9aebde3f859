"""What a backend gave together with the bound of its error, and sums of that which are exact themselves."""

from __future__ import annotations

from typing import Any

import numpy as np

from isograd.backend import Executable
from isograd_conformance import exact
from isograd_conformance.bounds import Tracked, track
from isograd_conformance.subject import HostArray, HostArrays, Subject


def bounded(subject: Subject, executable: Executable, values: HostArrays) -> dict[str, Tracked]:
    """The outputs of a call without state, each with the bound of its error."""
    function = executable.function
    found = subject.call(executable, values).outputs
    tracked = track(list(function.outputs.values()), values, subject.arithmetic)
    return {name: Tracked(found[name], t.error) for name, t in zip(function.outputs, tracked, strict=True)}


def inner(found: Tracked, weights: HostArray) -> tuple[Any, Any]:
    """The exact inner product with what was found, and twice the bound of its error."""
    value, error = exact.number(0), exact.number(0)
    for at in np.ndindex(weights.shape):
        if weights[at]:  # 0 times what is not known is 0
            value += exact.number(found.value[at].item()) * weights[at].item()
            error += 2 * exact.number(float(found.error[at])) * abs(weights[at].item())
    return value, error
