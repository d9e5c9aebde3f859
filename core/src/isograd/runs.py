"""Run files: what a training run is, as TOML that is checked key by key; and the presets of isograd.

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
imports neither NumPy nor any layer: `RunFile.layers`, `RunFile.eta` and
`RunFile.augmentation` do.
"""

from __future__ import annotations

import re
import reprlib
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass, replace
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_type_hints

from isograd.errors import ArgumentError, FileAccessError, FileFormatError, IsogradError

if TYPE_CHECKING:
    from isograd.layers import Layer
    from isograd.network import Network
    from isograd.training.augmentation import Augmentation
    from isograd.training.schedules import Eta

FORMAT = 1
RUN_FILE = "run.toml"

T = TypeVar("T")

_MAX_BYTES = 2**20

# A run's name becomes a folder: no part of it may lead elsewhere.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")


@dataclass(frozen=True, kw_only=True)
class NetworkTable:
    """The table `network`; `layers` are still plain tables."""

    input_shape: tuple[int, ...]
    init: str = "chapter"
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


def find_run(run: str) -> RunFile:
    """The run of a TOML file, of a folder that `isograd train` wrote, or of a preset.

    Raises
    ------
    ArgumentError
        If it is none of them; the message lists the presets, the likely ones first.
    FileAccessError, FileFormatError
        As `read_run` does.
    """
    path = Path(run)
    if (path / RUN_FILE).is_file():
        return read_run(path / RUN_FILE)
    if path.suffix == ".toml" or path.is_file():
        return read_run(path)
    if run in presets():
        return read_preset(run)
    close = get_close_matches(run, presets(), n=3) or [name for name in presets() if name.endswith(f"/{run}")]
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    raise ArgumentError(
        f"RUN is {run!r}, neither a file nor a preset; {hint}The presets: {', '.join(presets())}"
    )


def read_run(path: Path) -> RunFile:
    """The run of a TOML file; a path in it is seen from the file.

    Raises
    ------
    FileAccessError
        If the file can not be read.
    FileFormatError
        If it is no TOML, its format is newer, a key is unknown or missing, or a value has another type.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        text = content.decode("utf-8")
    except OSError as error:
        raise FileAccessError(f"{path}: can not be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path}: no UTF-8, as TOML has to be: {error}") from error
    if len(content) > _MAX_BYTES:
        raise FileFormatError(f"{path}: more than {_MAX_BYTES:,} bytes, which no run file needs")
    run = parse_run(text, str(path), default_name=_as_name(path))
    if run.data.path is None:
        return run
    return run.override({"data.path": str(path.parent.joinpath(run.data.path).absolute())})


def parse_run(text: str, where: str, default_name: str) -> RunFile:
    """The run that a TOML text describes; `where` begins each message. Raises as `read_run` does."""
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{where}: no TOML that can be read: {error}") from error
    found = data.get("format", FORMAT)
    if isinstance(found, int) and found > FORMAT:
        raise FileFormatError(
            f"{where}: format is {found}, which is for a newer isograd; this one reads format {FORMAT}"
        )
    try:
        if found != FORMAT or isinstance(found, bool):
            raise FileFormatError(f"format is {found!r}; expected {FORMAT}")
        run: RunFile = _table(RunFile, {"name": default_name, **data}, "")
    except FileFormatError as error:
        raise FileFormatError(f"{where}: {error}") from error
    return run


@cache
def presets() -> tuple[str, ...]:
    """The names of the presets, such as "chapter6/dbl_conv_relu"."""
    return tuple(sorted(_toml_files(files("isograd") / "presets", "")))


def read_preset(name: str) -> RunFile:
    """A preset by its name."""
    text = (files("isograd") / "presets" / f"{name}.toml").read_text(encoding="utf-8")
    return parse_run(text, f"preset {name}", default_name=name)


def _toml_files(folder: Traversable, prefix: str) -> Iterator[str]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _toml_files(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".toml"):
            yield prefix + entry.name.removesuffix(".toml")


def _as_name(path: Path) -> str:
    """A file's name as a run's, any character that does not fit replaced."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", path.stem).lstrip(".-") or "run"


# What a value in a file may be, by the type of the field; and how messages call it.
_EXPECTED: Mapping[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    dict[str, Any]: "a table",
    tuple[int, ...]: "a list of whole numbers",
    tuple[dict[str, Any], ...]: "a list of tables",
}


def _table(kind: type[T], data: object, path: str) -> T:
    """An instance of a dataclass from a TOML table; `path` is that of the table, with a dot behind."""
    if not isinstance(data, dict):
        raise FileFormatError(f"{path[:-1]} is {reprlib.repr(data)}; expected a table")
    hints = get_type_hints(kind)
    unknown = [_suggest(f"{path}{key}", key, list(hints)) for key in data if key not in hints]
    if unknown:
        raise FileFormatError(f"unknown {'key' if len(unknown) == 1 else 'keys'} {', '.join(unknown)}")
    missing = [
        f"{path}{field.name}"
        for field in fields(kind)  # type: ignore[arg-type]
        if field.name not in data and field.default is MISSING
    ]
    if missing:
        raise FileFormatError(f"{', '.join(missing)} missing")
    return kind(**{key: _value(hints[key], value, f"{path}{key}") for key, value in data.items()})


def _suggest(path: str, key: str, known: list[str]) -> str:
    """An unknown key with the known one that was probably meant, be it in another table."""
    elsewhere = [name for name in _keys() if name.rpartition(".")[2] == key]
    close = elsewhere or get_close_matches(key, known, n=1, cutoff=0)
    return f"{path} (did you mean {close[0]}?)"


@cache
def _keys() -> tuple[str, ...]:
    """Every key of a run file, those in tables with the table's name before them."""
    hints = get_type_hints(RunFile)
    inner = [
        f"{name}.{field.name}" for name, kind in hints.items() if is_dataclass(kind) for field in fields(kind)
    ]
    return (*hints, *inner)


def _value(hint: Any, value: object, path: str) -> Any:
    if is_dataclass(hint) and isinstance(hint, type):
        return _table(hint, value, f"{path}.")
    kinds = [
        kind for kind in (get_args(hint) if isinstance(hint, UnionType) else (hint,)) if kind in _EXPECTED
    ]
    for kind in kinds:
        if _fits(kind, value):
            return tuple(value) if isinstance(value, list) else value
    raise FileFormatError(
        f"{path} is {reprlib.repr(value)}; expected {' or '.join(_EXPECTED[kind] for kind in kinds)}"
    )


def _fits(kind: Any, value: object) -> bool:
    if kind == tuple[int, ...]:
        return isinstance(value, list) and all(_fits(int, item) for item in value)
    if kind == tuple[dict[str, Any], ...]:
        return isinstance(value, list) and all(isinstance(item, dict) for item in value)
    if kind == dict[str, Any]:
        return isinstance(value, dict)
    # A truth value is an int to Python, and to nobody who writes a file.
    accepted = (int, float) if kind is float else kind
    return isinstance(value, accepted) and (kind is bool or not isinstance(value, bool))


def _without_none(data: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in data.items()
        if value is not None
    }
