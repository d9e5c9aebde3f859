"""The costs of some rows of a data set, as graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from isograd.costs.base import Cost
from isograd.errors import ShapeError
from isograd.graph import Tensor, cast, gather, log_likelihood, variable

if TYPE_CHECKING:
    from isograd.data import Dataset

LABELS, WEIGHTS = "labels", "weights"


def target_variables(data: Dataset, examples: int) -> dict[str, Tensor]:
    """Variables for the "labels" and, where there are any, "weights" of so many examples of a data set."""
    return {
        name: variable(name, (examples, *array.shape[1:]), array.dtype.name)
        for name, array in data.arrays().items()
        if name in (LABELS, WEIGHTS)
    }


def row_costs(
    cost: Cost, outputs: Tensor, inputs: Mapping[str, Tensor], *, label_smoothing: float = 0.0
) -> Tensor:
    """The cost of each row, (rows,), times the example's weight where there are weights.

    Parameters
    ----------
    cost : Cost
    outputs : Tensor
        Of the last layer, (rows, *output_shape).
    inputs : mapping of str to Tensor
        `target_variables`, and "rows" int32 (rows,): which examples the rows are.
    label_smoothing : float
        As in `graph.log_likelihood`; above 0 for `LogLikelihood` only.

    Raises
    ------
    ShapeError
        If the cost builds something other than one number a row.
    """
    rows, dtype = inputs["rows"], outputs.dtype
    targets = gather(inputs[LABELS], rows)
    if cost.targets == "values":
        targets = cast(targets, dtype).reshape(*outputs.shape)
    if label_smoothing:
        costs = log_likelihood(outputs, targets, label_smoothing=label_smoothing)
    else:
        costs = cost.build(outputs, targets)
    if (costs.shape, costs.dtype) != (rows.shape, dtype):
        raise ShapeError(
            f"cost {cost!r} builds {costs.dtype} {list(costs.shape)}; expected {dtype} {list(rows.shape)}"
        )
    if WEIGHTS in inputs:
        costs = costs * cast(gather(inputs[WEIGHTS], rows), dtype)
    return costs
