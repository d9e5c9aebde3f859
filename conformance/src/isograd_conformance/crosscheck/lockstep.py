"""The same steps on every backend, each begun from the same state and judged layer by layer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from itertools import pairwise
from typing import Any

import numpy as np

from isograd import Dataset, Network, __version__
from isograd import graph as G
from isograd.architecture import describe_layer
from isograd.backend import Executable
from isograd.data import as_dataset
from isograd.errors import ArgumentError, ArgumentTypeError, UnsupportedError
from isograd.training.checks import flag, number, whole
from isograd.training.draws import Chunk
from isograd.training.step import AVERAGE, VELOCITY, StepOptions, step_function, step_graph
from isograd_conformance.bounds import DisagreementError
from isograd_conformance.crosscheck.verdict import (
    Cell,
    CrossCheck,
    Drift,
    Examined,
    FirstParting,
    Phase,
)
from isograd_conformance.diagnosis import diagnose
from isograd_conformance.layers import (
    Kind,
    LayerJudgement,
    instrumented,
    judge_outputs,
    judge_step,
    layer_outputs,
)
from isograd_conformance.networks import step_inputs
from isograd_conformance.options import usable
from isograd_conformance.subject import HostArray, Results, Subject
from isograd_conformance.whole import apart, judge_whole

Announce = Callable[[str], None]


def check(
    network: Network,
    data: Dataset | tuple[Any, Any],
    *,
    backends: str | Iterable[str] | None = None,
    steps: int = 3,
    mini_batch_size: int = 10,
    eta: float = 0.1,
    lmbda: float = 0.0,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    label_smoothing: float = 0.0,
    averaging: float = 0.0,
    title: str = "network",
    announce: Announce | None = None,
) -> CrossCheck:
    """Cross-check a network over backends: predictions, every gradient, and steps of training.

    Each backend computes the same mini-batches from the same state; every layer is held, forward, backward
    and in its update, to the rounding-error bound of its definition, on the backend's own values around it.

    Parameters
    ----------
    network : Network
        It is not changed. Its parameters, seed and dtype are used; a run in progress is not continued.
    data : Dataset, or tuple of inputs and labels
        At least `mini_batch_size` examples; the first `steps * mini_batch_size` are used.
    backends : str or iterable of str, optional
        Specifications "NAME[:DEVICE]", as a list or one text with commas; by default every usable backend.
    steps : int
        How many mini-batches.
    mini_batch_size, eta, lmbda, momentum, nesterov, weight_decay, label_smoothing, averaging
        As for `Network.SGD`.
    title : str
        What the report calls the network.
    announce : callable, optional
        Is told what is being computed.

    Returns
    -------
    CrossCheck

    Raises
    ------
    ArgumentError, ArgumentTypeError, ShapeError
        If an argument is not as described, or a backend is unknown.
    UnsupportedError
        If a backend does not implement what the network needs.
    PluginError
        If a backend can not be made.
    """
    began = time.monotonic()
    if not isinstance(network, Network):
        raise ArgumentTypeError(f"network is a {type(network).__name__}; expected a Network")
    dataset = as_dataset(data, "data")
    run = _Run(
        network,
        _examples(network, dataset, whole("steps", steps, 1), whole("mini_batch_size", mini_batch_size, 1)),
        _options(
            len(dataset),
            mini_batch_size,
            lmbda,
            momentum,
            nesterov,
            weight_decay,
            label_smoothing,
            averaging,
        ),
        number("eta", eta, above=0),
        steps,
        announce or (lambda what: None),
    )
    subjects = _subjects(backends)
    for subject in subjects:
        if network.dtype not in subject.capabilities.dtypes:
            raise UnsupportedError(
                f"backends has {subject.specification!r}, which does not declare {network.dtype}, the "
                "network's dtype"
            )
    lockstep = _Lockstep(run, subjects)
    lockstep.predict()
    lockstep.train()
    architecture = network.architecture
    return CrossCheck(
        title,
        network.dtype,
        mini_batch_size,
        steps,
        (
            *(
                describe_layer(name, layer).removeprefix("layer ")
                for name, layer in zip(architecture.names, architecture.layers, strict=True)
            ),
            "the whole step",
        ),
        tuple(_examined(subject, network.dtype) for subject in subjects),
        tuple(tally.cell(key) for key, tally in lockstep.tallies.items()),
        tuple(lockstep.partings.values()),
        tuple(lockstep.drifts()),
        {
            "isograd": __version__,
            "isograd-conformance": metadata.version("isograd-conformance"),
            "numpy": np.__version__,
        },
        time.monotonic() - began,
    )


@dataclass(frozen=True)
class _Run:
    network: Network
    data: Dataset
    options: StepOptions
    eta: float
    steps: int
    announce: Announce


def _examples(network: Network, dataset: Dataset, steps: int, mini_batch_size: int) -> Dataset:
    """The examples that are used: the reference reads all resident data at every step."""
    network.architecture.check_features(dataset.feature_shape, "data")
    if len(dataset) < mini_batch_size:
        raise ArgumentError(f"mini_batch_size is {mini_batch_size}; data has only {len(dataset)} examples")
    whole_batches = min(steps, len(dataset) // mini_batch_size) * mini_batch_size
    return dataset[:whole_batches]


def _options(
    examples: int,
    mini_batch_size: int,
    lmbda: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
    label_smoothing: float,
    averaging: float,
) -> StepOptions:
    decay = number("lmbda", lmbda, least=0) / -(-examples // mini_batch_size)
    momentum = number("momentum", momentum, least=0, below=1)
    if flag("nesterov", nesterov) and not momentum:
        raise ArgumentError("nesterov is True, but momentum is 0; expected a momentum above 0")
    weight_decay = number("weight_decay", weight_decay, least=0)
    label_smoothing = number("label_smoothing", label_smoothing, least=0, below=1)
    averaging = number("averaging", averaging, least=0, below=1)
    return StepOptions(mini_batch_size, decay, momentum, nesterov, weight_decay, label_smoothing, averaging)


def _subjects(backends: str | Iterable[str] | None) -> list[Subject]:
    """The backends by their full names, none twice."""
    if backends is None:
        names = usable()
        if not names:
            raise ArgumentError("backends: none is installed that can be used here (isograd backends)")
    elif isinstance(backends, str):
        names = [name.strip() for name in backends.split(",")]
    else:
        names = list(backends)
    if not names:
        raise ArgumentError("backends is empty; expected at least one NAME[:DEVICE]")
    subjects: dict[str, Subject] = {}
    for name in names:
        chosen = Subject.choose(name)
        full = f"{chosen.backend.name}:{chosen.device}"
        subjects[full] = Subject(full, chosen.backend, chosen.device)
    return list(subjects.values())


def _examined(subject: Subject, dtype: str) -> Examined:
    precision = subject.backend.precision(dtype, subject.device)
    return Examined(subject.specification, subject.backend.version, precision)


Key = tuple[str, int, Phase, Kind]


@dataclass
class _CellTally:
    """What a cell adds up to over the steps."""

    elements: int = 0
    vacuous: float = 0.0
    worst: float = 0.0
    agrees: bool = True
    unjudged: int = 0

    def add(self, verdict: LayerJudgement) -> None:
        judgement = verdict.judgement
        self.elements += judgement.found.size
        self.vacuous += judgement.vacuous * judgement.found.size
        self.worst = max(self.worst, judgement.worst)
        self.agrees = self.agrees and judgement.problem is None

    def cell(self, key: Key) -> Cell:
        backend, layer, phase, kind = key
        share = self.vacuous / max(self.elements, 1)
        return Cell(backend, layer, phase, kind, self.elements, self.worst, share, self.agrees, self.unjudged)


@dataclass
class _Lockstep:
    """The steps, and what they have shown so far."""

    run: _Run
    subjects: list[Subject]
    tallies: dict[Key, _CellTally] = field(default_factory=dict)
    partings: dict[str, FirstParting] = field(default_factory=dict)
    ends: dict[str, dict[str, HostArray]] = field(default_factory=dict)

    def predict(self) -> None:
        """The layers' outputs in mode "evaluate" on the first mini-batch."""
        run, architecture = self.run, self.run.network.architecture
        rows = run.options.mini_batch_size
        variables = architecture.variables()
        inputs = {
            "inputs": G.variable("inputs", run.data.inputs.shape, run.data.inputs.dtype.name),
            "rows": G.variable("rows", (rows,), "int32"),
        }
        x = architecture.read(G.gather(inputs["inputs"], inputs["rows"]), run.data.scale)
        outputs, _ = architecture.forward(x, variables, variables, "evaluate", {})
        function = G.simplify(G.Function(inputs, layer_outputs(outputs), variables))
        given = {"inputs": run.data.inputs, "rows": np.arange(rows, dtype=np.int32)}
        state = {name: {**run.network.parameters, **run.network.state}[name] for name in function.state}
        for subject in self.subjects:
            run.announce(f"{subject.specification}: prediction")
            found = subject.call(subject.compile(function), given, state)
            verdicts = judge_outputs(
                subject, architecture, function, run.data.scale, {**given, **state}, found.outputs
            )
            self._take(subject, "prediction", 0, verdicts)

    def train(self) -> None:
        """Steps from one state, that of the first backend after each; then the same steps run freely."""
        run = self.run
        graph = step_graph(run.network.architecture, run.data, run.options.mini_batch_size, run.options)
        function, plain = instrumented(graph), step_function(graph)
        start = self._start(function)
        shown, real = {}, {}
        for subject in self.subjects:
            run.announce(f"{subject.specification}: compiling a step")
            shown[subject], real[subject] = subject.compile(function), subject.compile(plain)
        state = start
        for step in range(run.steps):
            given, after = self._inputs(step), {}
            for subject, executable in shown.items():
                run.announce(f"{subject.specification}: step {step}")
                found = subject.call(executable, given, state)
                after[subject] = found.state
                verdicts = judge_step(subject, graph, run.data.scale, given, state, found)
                self._take(subject, "training", step, verdicts)
                if step == 0:
                    self._whole(subject, real[subject], given, state, found)
            state = after[self.subjects[0]]
        self._run_freely(real, start)

    def _start(self, function: G.Function) -> dict[str, HostArray]:
        """The network's arrays; velocities begin at 0 and averages as the arrays, as in a run."""
        arrays = {**self.run.network.parameters, **self.run.network.state}
        return {
            name: np.zeros(v.shape, v.dtype)
            if name.startswith(VELOCITY)
            else arrays[name.removeprefix(AVERAGE)]
            for name, v in function.state.items()
        }

    def _inputs(self, step: int) -> dict[str, HostArray]:
        """What core draws for a step; the data are gone through again where they end."""
        run = self.run
        epoch, within = divmod(step, len(run.data) // run.options.mini_batch_size)
        chunk = Chunk(epoch, within, 1, run.options.mini_batch_size)
        return step_inputs(run.network, run.data, chunk, run.options.mini_batch_size, run.eta)

    def _take(self, subject: Subject, phase: Phase, step: int, verdicts: Sequence[LayerJudgement]) -> None:
        for verdict in verdicts:
            key = subject.specification, verdict.layer, phase, verdict.kind
            self.tallies.setdefault(key, _CellTally()).add(verdict)
            if verdict.judgement.problem is not None and subject.specification not in self.partings:
                self.run.announce(f"{subject.specification}: looking for the first node that is wrong")
                self.partings[subject.specification] = _parting(subject, phase, step, verdict)

    def _whole(
        self,
        subject: Subject,
        executable: Executable,
        inputs: dict[str, HostArray],
        state: dict[str, HostArray],
        instrumented: Results,
    ) -> None:
        """The first step as it is really run, judged from end to end where that proves something."""
        self.run.announce(f"{subject.specification}: the step without further outputs")
        verdict = judge_whole(subject, executable, inputs, state, instrumented)
        values, last = {**inputs, **state}, len(self.run.network.layers)
        verdicts = [LayerJudgement(last, "whole", judgement, values) for judgement in verdict.judgements]
        self._take(subject, "training", 0, verdicts)
        key: Key = subject.specification, last, "training", "whole"
        whole = self.tallies.setdefault(key, _CellTally())
        whole.unjudged = len(verdict.drifts)
        if verdict.changed and subject.specification not in self.partings:
            whole.agrees = False
            names = ", ".join(verdict.changed)
            problem = (
                f"further outputs of the step change the bits of {names}, though `fuses` is not declared"
            )
            self.partings[subject.specification] = FirstParting(
                subject.specification, "training", 0, last, names, problem, ""
            )

    def _run_freely(self, real: Mapping[Subject, Executable], start: dict[str, HostArray]) -> None:
        for subject, executable in real.items():
            self.run.announce(f"{subject.specification}: running freely")
            function = executable.function
            state = {name: start[name] for name in function.state}
            for step in range(self.run.steps):
                given = self._inputs(step)
                inputs = {name: given[name] for name in function.inputs}
                state = subject.call(executable, inputs, state).state
            self.ends[subject.specification] = state

    def drifts(self) -> list[Drift]:
        """The distance of each backend's parameters from the one's before it."""
        found = []
        for (one, first), (other, second) in pairwise(self.ends.items()):
            distances = {
                path: apart(first[path], second[path]) for path in self.run.network.architecture.parameters
            }
            path = max(distances, key=lambda p: distances[p])
            found.append(Drift(one, other, distances[path], path))
        return found


def _parting(subject: Subject, phase: Phase, step: int, verdict: LayerJudgement) -> FirstParting:
    judgement = verdict.judgement
    error = DisagreementError(judgement, verdict.values, subject)
    return FirstParting(
        subject.specification,
        phase,
        step,
        verdict.layer,
        judgement.name,
        str(judgement.problem),
        str(diagnose(error)),
    )
