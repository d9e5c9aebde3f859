"""Three data sets that belong together: training, validation and test."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from isograd.data.dataset import Dataset
from isograd.errors import ArgumentError


class DatasetSplits(NamedTuple):
    """What `load_dataset` returns: ``training, validation, test = load_dataset("mnist")``.

    Attributes
    ----------
    training : Dataset
    validation, test : Dataset or None
        None where the source has no such part.
    """

    training: Dataset
    validation: Dataset | None = None
    test: Dataset | None = None

    def hold_out(self, size: int) -> DatasetSplits:
        """The same data, with the last `size` training examples as the validation set.

        Raises
        ------
        ArgumentError
            There is a validation set already, or `size` leaves no example on one of the two sides.
        """
        if self.validation is not None:
            raise ArgumentError(
                f"validation_size: there is a validation set of {len(self.validation)} already"
            )
        count = len(self.training)
        if not 0 < size < count:
            raise ArgumentError(
                f"validation_size: expected 0 < size < {count} (training examples), got {size}"
            )
        cut = count - size
        return self._replace(training=self.training[:cut], validation=self.training[cut:])

    def map(self, change: Callable[[Dataset], Dataset]) -> DatasetSplits:
        """`change` applied to each part that there is."""
        return DatasetSplits(
            change(self.training),
            None if self.validation is None else change(self.validation),
            None if self.test is None else change(self.test),
        )
