"""Networks and data small enough for the reference backend, and what the listing would print of a run."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from isograd.data import Dataset
from isograd.testing import ReferenceBackend
from isograd.training import History


@pytest.fixture(scope="session")
def backend() -> ReferenceBackend:
    return ReferenceBackend()


@pytest.fixture(scope="session")
def make_digits() -> Callable[..., Dataset]:
    """Random images of bytes (n, 1, height, height), of three classes by which row is the brightest."""

    def make(n: int, seed: int = 0, height: int = 6) -> Dataset:
        generator = np.random.default_rng(seed)
        images = generator.integers(0, 128, (n, 1, height, height), np.uint8)
        labels = generator.integers(0, 3, n)
        images[np.arange(n), 0, labels] += 64
        return Dataset(images, labels, scale=1 / 256)

    return make


@pytest.fixture(scope="session")
def listing_lines() -> Callable[[History, int], list[str]]:
    """The lines that the listing's loop prints, step by step, for what a history has measured."""

    def lines(history: History, steps: int) -> list[str]:
        printed: list[str] = []
        best, best_iteration, test = 0.0, 0, 0.0
        for epoch, record in enumerate(history.epochs):
            for step in range(steps):
                iteration = steps * epoch + step
                if iteration % 1000 == 0:
                    printed.append(f"Training mini-batch number {iteration}")
            accuracy = record.validation_accuracy
            assert accuracy is not None
            printed.append(f"Epoch {epoch}: validation accuracy {accuracy:.2%}")
            if accuracy >= best:
                assert record.test_accuracy is not None
                best, best_iteration, test = accuracy, iteration, record.test_accuracy
                printed.append("This is the best validation accuracy to date.")
                printed.append(f"The corresponding test accuracy is {test:.2%}")
        printed.append("Finished training network.")
        printed.append(f"Best validation accuracy of {best:.2%} obtained at iteration {best_iteration}")
        printed.append(f"Corresponding test accuracy of {test:.2%}")
        return printed

    return lines
