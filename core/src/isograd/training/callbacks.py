"""Code of one's own that runs at the end of chunks and epochs."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING

from isograd.errors import ArgumentError, ArgumentTypeError
from isograd.training.checks import optional_whole, whole
from isograd.training.history import EpochRecord

if TYPE_CHECKING:
    from isograd.backend_choice import BackendChoice
    from isograd.network import Network


@dataclass(frozen=True)
class Progress:
    """Where a run is.

    Attributes
    ----------
    network : Network
        Its parameters are those after the last finished step, with averaging their averages.
    epoch, epochs : int
        The epoch, from 0, and how many there will be.
    step, steps : int
        How many steps of this epoch are done, and how many it has.
    cost : float
        The mean cost over the steps since the last report; 0 before the first.
    eta : float
        The learning rate of the last step that is done, at the beginning of an epoch of its first.
    images_per_second : float
        Since this epoch began, evaluation left out.
    full_steps : int
        How many of the epoch's first steps have `mini_batch_size` rows: all, or all but the last.
    choice : BackendChoice
        The backend that computes the run, and its device.
    records : tuple of EpochRecord
        The epochs that are finished, of a resumed run also those before this call.
    save : callable
        ``save(path)`` writes the run as it is now to a file, with which it can be resumed, as `checkpoint`
        does. What a callback keeps of it may be called in a later `on_epoch` too, when the record is in the
        file; after an epoch's last step and before that it is an ArgumentError. It raises FileAccessError if
        the file can not be written.
    """

    network: Network
    epoch: int
    epochs: int
    step: int
    steps: int
    cost: float
    eta: float
    images_per_second: float
    full_steps: int
    choice: BackendChoice
    records: tuple[EpochRecord, ...]
    save: Callable[[str | os.PathLike[str]], None]


class Callback:
    """The base class: override what you need. A method that returns "stop" ends the run there.

    Steps run in chunks and callbacks only between them, so that they cost the run nothing. What they return
    other than "stop" is ignored, but another text is an error. When one raises, training ends with that error
    and the network keeps the parameters of the last finished chunk. Changing the network's parameters here
    changes nothing of the run, which has its own copy.

    Attributes
    ----------
    every : int, optional
        A chunk ends at least after each so many steps of the run; None leaves that to the run.
    """

    every: int | None = None

    def on_start(self, progress: Progress) -> object:
        """Before the first step of this call of `SGD`."""

    def on_chunk(self, progress: Progress) -> object:
        """After a chunk of steps, always within one epoch."""

    def on_epoch(self, record: EpochRecord) -> object:
        """After an epoch and its evaluation."""

    def ends(self, steps: int, full_steps: int) -> Collection[int]:
        """After how many steps of an epoch a chunk has to end, beside its last: each from 1 to `steps`.

        Asked once, before the first step. An epoch has `steps` steps, of which the first `full_steps` have
        `mini_batch_size` rows. Where chunks end changes no result.
        """
        return ()

    def measure(self, progress: Progress) -> Mapping[str, float] | None:
        """Numbers by name for `EpochRecord.measured`; after an epoch's last chunk, before `on_epoch`.

        What all callbacks measure is put together; a name that two of them give is an error. The time that
        it takes counts as evaluation.
        """


class _OnEpoch(Callback):
    def __init__(self, function: Callable[[EpochRecord], object]) -> None:
        self.function = function

    def on_epoch(self, record: EpochRecord) -> object:
        return self.function(record)


def checked_callbacks(callbacks: object) -> tuple[Callback, ...]:
    """`Callback` objects as they are; other callables become ones that are called after each epoch."""
    if callable(callbacks) or isinstance(callbacks, Callback) or not isinstance(callbacks, Iterable):
        raise ArgumentTypeError(f"callbacks is {callbacks!r}; expected a list of callbacks")
    checked: list[Callback] = []
    for index, callback in enumerate(callbacks):
        if isinstance(callback, Callback):
            optional_whole(f"callbacks[{index}].every", callback.every, 1)
            checked.append(callback)
        elif callable(callback) and not isinstance(callback, type):
            checked.append(_OnEpoch(callback))
        else:
            raise ArgumentTypeError(f"callbacks[{index}] is {callback!r}; expected a Callback or a function")
    return tuple(checked)


def chunk_ends(callbacks: Sequence[Callback], steps: int, full_steps: int) -> tuple[int, ...]:
    """Where in an epoch the callbacks have chunks end, in order. Raises as `checks.whole`, naming one."""
    found: set[int] = set()
    for index, callback in enumerate(callbacks):
        name = f"callbacks[{index}].ends({steps}, {full_steps})"
        answer = callback.ends(steps, full_steps)
        if isinstance(answer, str) or not isinstance(answer, Collection):
            raise ArgumentTypeError(f"{name} is {answer!r}; expected a collection of whole numbers")
        for given in answer:
            end = whole(name, given, 1)
            if end > steps:
                raise ArgumentError(f"{name} has {end}; expected at most {steps}")
            found.add(end)
    return tuple(sorted(found))


def measurements(callbacks: Sequence[Callback], progress: Progress) -> dict[str, float]:
    """What the callbacks measure, put together.

    Raises
    ------
    ArgumentTypeError, ArgumentError
        If an answer is neither None nor a mapping of text to number, or two have the same name.
    """
    found: dict[str, float] = {}
    for index, callback in enumerate(callbacks):
        what = f"callbacks[{index}].measure"
        answer: object = callback.measure(progress)
        if answer is None:
            continue
        if not isinstance(answer, Mapping):
            raise ArgumentTypeError(f"{what} returned {answer!r}; expected None or a mapping of numbers")
        for name, value in answer.items():
            if not isinstance(name, str):
                raise ArgumentTypeError(f"{what} returned the name {name!r}; expected a text")
            if isinstance(value, bool) or not isinstance(value, Real):
                raise ArgumentTypeError(f"{what} returned {value!r} for {name!r}; expected a number")
            if name in found:
                raise ArgumentError(f"{what} returned {name!r}, which another callback has measured")
            try:
                found[name] = float(value)
            except OverflowError:
                raise ArgumentError(f"{what} returned {name!r} beyond the range of a float") from None
    return found


def any_stop(answers: Iterable[object]) -> bool:
    """Whether "stop" is among the callbacks' answers; a misspelt one must not be ignored."""
    texts = {answer for answer in answers if isinstance(answer, str)}
    if texts - {"stop"}:
        raise ArgumentError(f'a callback returned {(texts - {"stop"}).pop()!r}; expected None or "stop"')
    return bool(texts)
