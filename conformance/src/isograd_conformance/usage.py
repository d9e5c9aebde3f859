"""What a program does with a backend: training by both gradients in every precision, and predicting.

For tests of what a backend must not change on the way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from isograd import Callback, Network
from isograd.training import Progress
from isograd_conformance.strategies.networks import every_kind_of_layer, toy_digits
from isograd_conformance.subject import Subject

T = TypeVar("T")


def observe(specification: str, look: Callable[[], T]) -> list[T]:
    """Use a backend ("NAME[:DEVICE]"), and look at something after every step and at the end.

    Raises
    ------
    AssertionError
        If a network does not keep its precision, or no step was observed.
    """
    subject, data, seen = Subject.choose(specification), toy_digits(), []

    class Watch(Callback):
        every = 1

        def on_chunk(self, progress: Progress) -> None:
            seen.append(look())

    gradients = ["symbolic", *(["native"] if subject.capabilities.native_gradient else [])]
    for dtype in subject.floating:
        for gradient in gradients:
            net = Network(every_kind_of_layer(), (1, 12, 12), dtype=dtype)
            net.SGD(
                data, 1, 5, 0.1, data, lmbda=0.1, momentum=0.5,
                gradient=gradient, callbacks=[Watch()], backend=specification,
            )  # fmt: skip
            net.predict(data, backend=specification)
            assert {array.dtype.name for array in net.parameters.values()} == {dtype}
    assert len(seen) >= len(subject.floating) * len(gradients)
    return [*seen, look()]
