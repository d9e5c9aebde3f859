"""The costs of Nielsen's book."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from isograd.costs.base import Cost
from isograd.graph import Tensor, log_likelihood, sigmoid, softmax, softplus


@dataclass(frozen=True)
class LogLikelihood(Cost):
    """-log(softmax(z)[label]), of z (rows, classes) (Nielsen, chapter 3, equation 80)."""

    targets: ClassVar[Literal["classes", "values"]] = "classes"
    probabilities: ClassVar[bool] = True

    def build(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return log_likelihood(outputs, targets)

    def predicted(self, outputs: Tensor) -> Tensor:
        """The probability of each class: softmax(z)."""
        return softmax(outputs)


@dataclass(frozen=True)
class Quadratic(Cost):
    """0.5 * sum((a - y)^2) over the outputs a of a row (Nielsen, chapter 1, equation 6)."""

    def build(self, outputs: Tensor, targets: Tensor) -> Tensor:
        difference = outputs - targets
        return 0.5 * _over_outputs(difference * difference)


@dataclass(frozen=True)
class CrossEntropy(Cost):
    """-sum(y log(a) + (1 - y) log(1 - a)), a = sigmoid(z), over z of a row (Nielsen, chapter 3, equation 63).

    z are the *weighted inputs* of sigmoids, so the last layer's activation is "linear": the sum is computed
    as softplus(z) - y z, which does not overflow. Targets y are from 0 to 1.
    """

    def build(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return _over_outputs(softplus(outputs) - targets * outputs)

    def predicted(self, outputs: Tensor) -> Tensor:
        """The probability that each target is 1: sigmoid(z)."""
        return sigmoid(outputs)


def _over_outputs(costs: Tensor) -> Tensor:
    return costs.reshape(costs.shape[0], -1).sum(1)
