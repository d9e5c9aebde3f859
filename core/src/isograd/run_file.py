"""What a run file is: a training run as TOML, and its tables as dataclasses; `isograd.runs` reads it.

    format = 1                        # of this file
    name = "digits"                   # the run's folder; by default the file's own name
    summary = "one hidden layer"      # for listings
    backend = "mine:cuda:0"           # by default the installed backend of highest priority
    gradient = "symbolic"             # or "native", by the backend's automatic differentiation
    threads = 2                       # by default 1, where the backend can be held to that
    seed = 0
    dtype = "float32"

    [network]
    input_shape = [1, 28, 28]
    init = "chapter"                  # or "n_in", "he", "glorot", or another registered name
    cost = "LogLikelihood"            # or "Quadratic", "CrossEntropy", one of a plugin, { type = ..., ... }
    layers = [                        # as in `isograd.layers.serialise`
        { type = "FullyConnected", n_out = 100 },
        { type = "Softmax", n_out = 10 },
    ]

    [training]                        # the arguments of `Network.SGD`
    epochs = 60
    mini_batch_size = 10
    eta = 0.1                         # or a registered name, or { type = "StepDecay", eta = 0.1, ... }
    lmbda = 0.0
    momentum = 0.0
    nesterov = false
    weight_decay = 0.0
    label_smoothing = 0.0
    averaging = 0.0
    shuffle = true
    drop_last = false
    early_stopping = 10
    tested = "best"                   # or "last": the test data are evaluated once, after the last epoch
    checkpoint_every = 1
    augmentation = [{ type = "Affine", rotation = 15 }]    # `isograd.training.augmentation`, in this order
    diagnostics = 1000                # after each epoch `isograd.training.Diagnostics` on so many examples

    [data]
    name = "mnist"                    # of an installed data set; or `path`, as seen from this file
    validation_size = 1000            # held out of the training data, where the source has no such part
    expanded = false                  # whether each image's four shifts by one pixel join the training data

Only `input_shape`, `layers`, `epochs`, `mini_batch_size`, `eta` and the data are required. This module
imports neither NumPy nor any layer: `RunFile.layers`, `RunFile.cost`, `RunFile.eta` and
`RunFile.augmentation` do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from isograd.errors import FileFormatError, IsogradError

if TYPE_CHECKING:
    from isograd.architecture import Architecture
    from isograd.costs import Cost
    from isograd.layers import Layer
    from isograd.network import Network
    from isograd.training.augmentation import Augmentation
    from isograd.training.schedules import Eta

FORMAT = 1
RUN_FILE = "run.toml"
"""The name of the run file in a run's folder."""

T = TypeVar("T")

# A run's name becomes a folder: no part of it may lead elsewhere.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")


@dataclass(frozen=True, kw_only=True)
class NetworkTable:
    """The table `network`; `layers` are still plain tables."""

    input_shape: tuple[int, ...]
    init: str = "chapter"
    cost: str | dict[str, Any] = "LogLikelihood"
    layers: tuple[dict[str, Any], ...]


@dataclass(frozen=True, kw_only=True)
class TrainingTable:
    """The table `training`: the arguments of `Network.SGD` of the same names, `eta` and `augmentation` still
    plain data; and how many examples `Diagnostics` has, None for no diagnostics."""

    epochs: int
    mini_batch_size: int
    eta: float | str | dict[str, Any]
    lmbda: float = 0.0
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    averaging: float = 0.0
    shuffle: bool = True
    drop_last: bool = False
    early_stopping: int | None = None
    tested: str = "best"
    checkpoint_every: int | None = None
    augmentation: tuple[dict[str, Any], ...] = ()
    diagnostics: int | None = None


@dataclass(frozen=True, kw_only=True)
class DataTable:
    """The table `data`: the name of an installed data set, or a path.

    Raises
    ------
    FileFormatError
        If there are both or neither.
    """

    name: str | None = None
    path: str | None = None
    validation_size: int | None = None
    expanded: bool = False

    def __post_init__(self) -> None:
        if (self.name is None) == (self.path is None):
            raise FileFormatError("data has both name and path or neither; expected one of them")

    @classmethod
    def of(cls, name_or_path: str, validation_size: int | None = None) -> DataTable:
        """What `isograd.data.load_dataset` takes: a bare word is a name, everything else a path."""
        if re.fullmatch(r"[A-Za-z0-9_-]+", name_or_path):
            return cls(name=name_or_path, validation_size=validation_size)
        return cls(path=str(Path(name_or_path).absolute()), validation_size=validation_size)

    @property
    def source(self) -> str | Path:
        """The first argument of `isograd.data.load_dataset`."""
        return Path(self.path) if self.path is not None else str(self.name)


@dataclass(frozen=True, kw_only=True)
class RunFile:
    """A checked run file: every key is known and every value has its type.

    Values that only a layer, a schedule, a backend or `Network.SGD` can judge are judged there.

    Raises
    ------
    FileFormatError
        If the name could lead out of the folder for runs.
    """

    format: int = FORMAT
    name: str
    summary: str = ""
    backend: str | None = None
    gradient: str = "symbolic"
    threads: int | None = None
    seed: int = 0
    dtype: str = "float32"
    network: NetworkTable
    training: TrainingTable
    data: DataTable

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise FileFormatError(
                f"name is {self.name!r}; expected letters, digits, '-', '_' and '.', in parts joined by '/'"
            )

    def layers(self) -> tuple[Layer, ...]:
        """The layer specs.

        Raises
        ------
        FileFormatError
            If a table is no layer; the message gives its position.
        """
        from isograd.layers import layers_from_data

        try:
            return layers_from_data({"format": 1, "layers": self.network.layers})
        except FileFormatError as error:
            raise FileFormatError(f"{self.name}: network.{error}") from error

    def cost(self) -> Cost:
        """What training minimises.

        Raises
        ------
        FileFormatError
            If the name or the table is no cost.
        """
        from isograd import costs

        try:
            return costs.from_data(self.network.cost)
        except FileFormatError as error:
            raise FileFormatError(f"{self.name}: network.{error}") from error

    def architecture(self) -> Architecture:
        """The network without weights: none are drawn for this."""
        from isograd.architecture import Architecture

        return Architecture(self.layers(), self.network.input_shape, self.dtype, self.cost())

    def new_network(self, dtype: str | None = None) -> Network:
        """The network before training; of another dtype than the run's, if one is given."""
        from isograd.network import Network

        return Network(
            self.layers(),
            self.network.input_shape,
            self.seed,
            init=self.network.init,
            dtype=self.dtype if dtype is None else dtype,
            cost=self.cost(),
        )

    def eta(self) -> Eta:
        """The learning rate: a number or a schedule.

        Raises
        ------
        FileFormatError
            If it is neither.
        """
        from isograd.training import schedules

        return self._in_training(schedules.from_data, self.training.eta)

    def augmentation(self) -> tuple[Augmentation, ...]:
        """What changes the training images.

        Raises
        ------
        FileFormatError
            If a table is no augmentation.
        """
        from isograd.training import augmentation

        return self._in_training(augmentation.from_data, self.training.augmentation)

    def _in_training(self, read: Callable[[object], T], value: object) -> T:
        """What a value of the table `training` says; an error names the table."""
        try:
            return read(value)
        except IsogradError as error:
            raise FileFormatError(f"{self.name}: training.{error}") from error

    def trained_network(self, checkpoint: Path) -> Network:
        """The network of this run's checkpoint that counts.

        It is that of the best validation accuracy; without validation data, or where `training.tested` is
        "last", the last one. Raises as `Network.load`.
        """
        from isograd.network import Network

        network = Network.load(checkpoint)
        before = network.training
        if self.training.tested == "best" and before is not None and before.best is not None:
            network.adopt(before.best)
        return network

    def override(self, values: Mapping[str, Any]) -> RunFile:
        """The same run with other values, by key ("training.epochs"); a value of None changes nothing."""
        run = self
        for path, value in values.items():
            if value is not None:
                table, dot, key = path.rpartition(".")
                change = {table: replace(getattr(run, table), **{key: value})} if dot else {key: value}
                run = replace(run, **change)
        return run

    def to_toml(self) -> str:
        """The run as a file, defaults written out, so that it stays the same run when a default changes."""
        import tomli_w

        return tomli_w.dumps(_without_none(asdict(self)))


def _without_none(data: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in data.items()
        if value is not None
    }
