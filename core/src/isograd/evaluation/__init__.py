"""A network applied to a whole data set, a fixed number of rows at a time."""

from __future__ import annotations

from isograd.evaluation.functions import (
    CHUNK_ROWS,
    evaluation_function,
    forward_rows,
    image_shape,
    parameter_gradients,
)
from isograd.evaluation.gradient import gradients
from isograd.evaluation.prediction import as_examples, predict
from isograd.evaluation.resident import Evaluator, Parts, accuracy, mean_cost, on_device

__all__ = [
    "CHUNK_ROWS",
    "Evaluator",
    "Parts",
    "accuracy",
    "as_examples",
    "evaluation_function",
    "forward_rows",
    "gradients",
    "image_shape",
    "mean_cost",
    "on_device",
    "parameter_gradients",
    "predict",
]
