"""Networks and graphs as ONNX models. It needs onnx (isograd[onnx]), which is imported when it is first used.

The export works on the graph: each primitive is written in ONNX operators (`lowering`), so that a layer of
one's own needs no code for it.
"""

from __future__ import annotations

from isograd.onnx.lowering import OPERATORS
from isograd.onnx.model import IR_VERSION, OPSET, graph_model
from isograd.onnx.network import export, network_model, network_outputs
from isograd.onnx.operations import Owner

__all__ = [
    "IR_VERSION",
    "OPERATORS",
    "OPSET",
    "Owner",
    "export",
    "graph_model",
    "network_model",
    "network_outputs",
]
