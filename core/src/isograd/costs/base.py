"""What every cost spec has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import MISSING, dataclass, fields
from typing import ClassVar, Literal

from isograd.errors import ShapeError
from isograd.graph.tensor import Shape, Tensor


@dataclass(frozen=True)
class Cost(ABC):
    """A number for each example, of the last layer's output and of what is known of the example.

    A subclass is a frozen dataclass whose fields are numbers, truth values and texts. A file names it by its
    class, so one that is not isograd's own has to be offered by the hook `isograd_costs`.

    Attributes
    ----------
    targets : "classes" or "values"
        What is known of an example. A class: int32, less than the number of outputs; the network then
        predicts the class of the largest output, and has an accuracy. Or values: as many floating numbers as
        outputs; the network then predicts `predicted`, and the lower its validation cost, the better it is.
    probabilities : bool
        Whether `predicted` gives the probability of each class.
    """

    targets: ClassVar[Literal["classes", "values"]] = "values"
    probabilities: ClassVar[bool] = False

    @classmethod
    def examples(cls) -> Iterable[Cost]:
        """Specs for the conformance suite, by which it judges every cost that a plugin offers.

        By default the one of the default fields, or none where a field has no default.
        """
        required = [f for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING]
        return () if required else (cls(),)

    @abstractmethod
    def build(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The cost of each row: shape (rows,), of the dtype of the outputs.

        Parameters
        ----------
        outputs : Tensor
            Of the last layer, (rows, *output_shape).
        targets : Tensor
            int32 (rows,) for classes; for values, of the outputs' shape and dtype.
        """

    def predicted(self, outputs: Tensor) -> Tensor:
        """What the outputs say, of their shape: by default the outputs themselves."""
        return outputs

    def check_output(self, shape: Shape) -> None:
        """Refuse the output shape of a network that the cost can not take.

        Raises
        ------
        ShapeError
            By default, if targets are classes and the outputs are not one number for each.
        """
        if self.targets == "classes" and len(shape) != 1:
            raise ShapeError(f"the last one gives {list(shape)}; expected a number for each class")
