"""Libraries that isograd is embedded in, and a backend; where one is missing the tests are skipped."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from isograd.backend import Backend, Capabilities
from isograd.backend_checks import native_array
from isograd.graph import DTYPES, Function


@pytest.fixture(scope="session")
def library() -> Callable[[str], Any]:
    """library(name): the imported library. With ISOGRAD_EMBEDDING=required a missing one fails the test."""

    def find(name: str) -> Any:
        try:
            return import_module(name)
        except ModuleNotFoundError as error:
            if os.environ.get("ISOGRAD_EMBEDDING") == "required":
                pytest.fail(str(error))
            pytest.skip(str(error))

    return find


Run = Callable[[Mapping[str, Any]], dict[str, Any]]


@pytest.fixture(scope="session")
def run_onnx(library: Callable[[str], Any]) -> Callable[..., Run]:
    """run_onnx(model): what calls a ModelProto, or a file of one, in ONNX Runtime with arrays by name.

    It lacks some operators in double precision; such a model goes to the evaluator that specifies ONNX.
    """
    runtime, reference = library("onnxruntime"), library("onnx.reference")
    double = library("onnx").TensorProto.DOUBLE
    lacks = library("onnxruntime.capi.onnxruntime_pybind11_state").NotImplemented

    def load(model: Any, *, optimised: bool = True) -> Run:
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        if not optimised:
            options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        content = model if isinstance(model, str) else model.SerializeToString()
        try:
            session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except lacks:
            if double not in {value.type.tensor_type.elem_type for value in model.graph.value_info}:
                raise
            session = reference.ReferenceEvaluator(model)
            inputs, outputs = session.input_names, session.output_names
        else:
            inputs, outputs = (
                [x.name for x in part] for part in (session.get_inputs(), session.get_outputs())
            )

        def run(given: Mapping[str, Any]) -> dict[str, Any]:
            found = session.run(outputs, {name: given[name] for name in inputs})
            return dict(zip(outputs, map(np.asarray, found), strict=True))

        return run

    return load


@dataclass(frozen=True, eq=False)
class OnnxExecutable:
    """A function as a session of ONNX Runtime."""

    function: Function
    run: Run

    def __call__(
        self, inputs: Mapping[str, Any], state: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        return self.run({**inputs, **state}), {}


class OnnxRuntimeBackend(Backend):
    """Functions without updates, exported and run by ONNX Runtime: so the suite judges the export.

    As any backend it declares where its operators do not keep what the suite assumes. Tanh, a rational
    function, and Softplus err by more than 4 ulps (measured over 10**6 numbers: 7.5 and 4.2), Tanh and
    AveragePool lose digits of subnormal numbers.
    """

    name = "onnxruntime"
    version = "1"
    capabilities = Capabilities(
        dtypes=frozenset(DTYPES),
        deterministic=True,
        flushes_subnormals=True,
        ulps={"tanh": 10.0, "softplus": 6.0},
    )

    def __init__(self, load: Callable[..., Run]) -> None:
        self.load = load

    def devices(self) -> list[str]:
        return ["cpu"]

    def to_device(self, array: Any, device: str) -> Any:
        return np.asarray(native_array(self.name, array, self.capabilities.dtypes), order="C")

    def to_host(self, array: Any) -> Any:
        return array

    def compile(self, function: Function, device: str) -> OnnxExecutable:
        from isograd.onnx import Owner, graph_model

        owner = Owner("function", "the function")
        outputs = {name: (owner, tensor) for name, tensor in function.outputs.items()}
        return OnnxExecutable(function, self.load(graph_model(lambda rows: outputs, {}), optimised=False))


@pytest.fixture(scope="session")
def subject(library: Callable[[str], Any], run_onnx: Callable[..., Run]) -> Any:
    """ONNX Runtime as the conformance suite judges a backend."""
    library("onnx")
    kind = library("isograd_conformance.subject").Subject
    return kind("onnxruntime", OnnxRuntimeBackend(run_onnx), "cpu")
