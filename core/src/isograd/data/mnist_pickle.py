"""The book's own ``mnist.pkl.gz``, read without running anything that the file says.

A pickle is a program. This one is followed by the standard library's pure-Python unpickler, cut down in three
ways:

- its instructions are those that build numbers, texts, tuples and lists, and call or set the state of a
  global;
- its globals are six stand-ins for what NumPy writes into a pickle. They only record what they are given: no
  NumPy object exists before the whole file has been read, and no attribute of anything can be reached or set;
- every read is charged against a limit, so that memory grows with what has arrived and never past that limit.

The records are then checked, and turned into arrays over the bytes that were read.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from typing import IO, Any, NoReturn

import numpy as np
import numpy.typing as npt

from isograd.data.dataset import Dataset
from isograd.data.files import DEFAULT_MAX_BYTES, PathLike, check_size, file_name, read_up_to, unpacked
from isograd.data.splits import DatasetSplits
from isograd.errors import FileFormatError, IsogradError

# What a read is charged beside its bytes. Each instruction reads at least once, and makes at most one small
# object and one place for it on the stack or in the memo: less than this many bytes.
_OVERHEAD = 256
_DTYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8")
# As `pickle` names them; what an array or a tuple of arrays may be written with, in any protocol.
_INSTRUCTIONS = """
    PROTO STOP MARK NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 STRING
    BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES
    SHORT_BINBYTES BINBYTES8 TUPLE EMPTY_TUPLE TUPLE1 TUPLE2 TUPLE3 LIST EMPTY_LIST APPEND
    APPENDS GLOBAL STACK_GLOBAL REDUCE BUILD PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET
    LONG_BINGET
"""
_SPLITS = ("training", "validation", "test")


def read_mnist_pickle(
    path: PathLike, *, max_bytes: int = DEFAULT_MAX_BYTES, name: str = "mnist"
) -> DatasetSplits:
    """The data sets of a pickled ``((x, y), (x, y), (x, y))``: training, validation and test; gzipped or not.

    This is the layout of the book's ``mnist.pkl.gz`` (x float32 of shape (n, 784) in [0, 1), y int64) and of
    the ``mnist_expanded.pkl.gz`` that its script makes (lists of arrays and of labels). Pickles of Python 2
    and 3 are read, protocols 0 to 5.

    Parameters
    ----------
    path : str or path
    max_bytes : int
        The most that the file may unpack to, and within a small factor the most memory that reading takes.
        The book's file needs 220 MB.
    name : str
        The name of each data set.

    Raises
    ------
    FileAccessError
        The file can not be read.
    FileFormatError
        It is damaged, holds anything but NumPy arrays of numbers (the message names what was refused), has
        another layout, or exceeds `max_bytes`.
    """
    source = file_name(path)
    with unpacked(path) as stream:
        content = _load(stream, max_bytes, source)
    pairs = _items(content, source, "the file", 3)
    return DatasetSplits(
        *(
            _dataset(pair, f"{source}: {split}", max_bytes, name)
            for pair, split in zip(pairs, _SPLITS, strict=True)
        )
    )


def _dataset(pair: object, source: str, max_bytes: int, name: str) -> Dataset:
    inputs, labels = _items(pair, source, "each part", 2)
    try:
        return Dataset(_array(inputs, source, max_bytes), _array(labels, source, max_bytes), name=name)
    except FileFormatError:
        raise
    except IsogradError as error:
        raise FileFormatError(f"{source}: {error}") from error


def _items(value: object, source: str, what: str, count: int) -> tuple[Any, ...] | list[Any]:
    if not isinstance(value, tuple | list) or len(value) != count:
        got = f" of {len(value)}" if isinstance(value, tuple | list) else ""
        raise FileFormatError(
            f"{source}: expected {what} to be a tuple of {count}, got a {type(value).__name__}{got}"
        )
    return value


# --- The machine --------------------------------------------------------------------------------------------


class _Meter:
    """A stream whose every read is charged against a limit; reads past the end raise EOFError."""

    def __init__(self, stream: IO[bytes], limit: int, source: str) -> None:
        self._stream = stream
        self._left = limit
        self._source = source

    def charge(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise FileFormatError(f"{self._source}: unpacks to more than the limit max_bytes")

    def read(self, size: int) -> bytes:
        self.charge(size + _OVERHEAD)
        content = read_up_to(self._stream, size)
        if len(content) < size:
            raise EOFError(f"{size} bytes announced, {len(content)} left")
        return content

    def readline(self) -> bytes:
        line = self._stream.readline(self._left + 1)
        self.charge(len(line) + _OVERHEAD)
        return line


class _Instructions(dict[int, Callable[[Any], None]]):
    def __missing__(self, code: int) -> NoReturn:
        raise pickle.UnpicklingError(f"instruction {chr(code)!r} is not one that arrays need")


# Not pickle.Unpickler, which is written in C: before Python 3.15 it sizes a table by an index in the file (a
# few bytes may ask for 64 GB, python/cpython#115952), and its instructions can not be left out.
class _Unpickler(pickle._Unpickler):
    def __init__(self, meter: _Meter, source: str) -> None:
        # Python 2 writes an array's values as text: "bytes" leaves them as they lie in the file.
        super().__init__(meter, encoding="bytes")
        self._meter = meter
        self._source = source
        self._globals = _stand_ins(meter)

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._globals[f"{module}.{name}"]
        except KeyError:
            raise FileFormatError(
                f"{self._source}: refers to {f'{module}.{name}'[:100]!r}; only NumPy arrays are read"
            ) from None

    def skip_frame(self) -> None:
        # A frame would be read in one piece, past the count of instructions. Its contents just follow.
        self._meter.read(8)

    dispatch = _Instructions(
        {
            getattr(pickle, opcode)[0]: pickle._Unpickler.dispatch[getattr(pickle, opcode)[0]]
            for opcode in _INSTRUCTIONS.split()
        }
    )
    dispatch[pickle.FRAME[0]] = skip_frame
    # The standard one reserves memory by a number in the file.
    dispatch[pickle.BYTEARRAY8[0]] = dispatch[pickle.BINBYTES8[0]]


def _load(stream: IO[bytes], max_bytes: int, source: str) -> Any:
    try:
        content = _Unpickler(_Meter(stream, max_bytes, source), source).load()
    except (IsogradError, OSError, MemoryError):
        raise
    # The documentation of `pickle` names no closed list of what a damaged pickle raises.
    except Exception as error:
        raise FileFormatError(
            f"{source}: not a pickle of arrays, or damaged ({type(error).__name__}: {str(error)[:200]})"
        ) from error
    if stream.read(1):
        raise FileFormatError(f"{source}: more data after the end of the pickle")
    return content


# --- What a pickle says of arrays ---------------------------------------------------------------------------


class _Dtype:
    """``numpy.dtype(code, ...)``, then a state with the byte order."""

    def __init__(self, code: object, *_: object) -> None:
        self.code = _text(code)
        self.byte_order = "|"
        self.plain = True

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, byte_order, *structure = state[:5]
        self.byte_order = _text(byte_order)
        # The shape of a subarray, the names and the fields of a record.
        self.plain = structure == [None, None, None]

    def is_number(self) -> bool:
        return self.plain and self.code in _DTYPES and self.byte_order in ("<", ">", "|")


class _Array:
    """An array as it is pickled: made empty, then given its state; or a scalar; or a buffer (protocol 5)."""

    def __init__(self, shape: Any = None, dtype: Any = None, fortran: Any = False, content: Any = None):
        self.shape, self.dtype, self.fortran, self.content = shape, dtype, fortran, content

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, self.shape, self.dtype, self.fortran, self.content = state


def _stand_ins(meter: _Meter) -> dict[str, Any]:
    """By global name, what is called in NumPy's stead; nothing here makes a NumPy object."""

    def encode(text: str, encoding: str) -> bytes:
        # Python 3 writes bytes so in protocols 0 to 2. One text may be encoded often: each time counts.
        if encoding != "latin1":
            raise pickle.UnpicklingError("only latin1 writes an array's values")
        meter.charge(len(text))
        return text.encode("latin1")

    stand_ins: dict[str, Any] = {"_codecs.encode": encode, "numpy.ndarray": None, "numpy.dtype": _Dtype}
    for core in ("numpy.core", "numpy._core"):
        stand_ins[f"{core}.multiarray._reconstruct"] = lambda *_: _Array()
        stand_ins[f"{core}.multiarray.scalar"] = lambda dtype, content: _Array((), dtype, False, content)
        stand_ins[f"{core}.numeric._frombuffer"] = lambda content, dtype, shape, order: _Array(
            shape, dtype, _text(order) == "F", content
        )
    return stand_ins


def _array(value: object, source: str, max_bytes: int) -> npt.NDArray[Any]:
    """The array that was recorded, or several of one shape and dtype, stacked."""
    if isinstance(value, _Array):
        return _decode(value, source)
    if not isinstance(value, list | tuple) or not value:
        raise FileFormatError(
            f"{source}: expected an array or a list of arrays, got a {type(value).__name__}"
        )
    first = _array_of_list(value[0], source)
    # A list may name one array many times, so its length is no measure of the file's.
    check_size(first.nbytes * len(value), max_bytes, source)
    parts = [_array_of_list(one, source) for one in value]
    if any(part.shape != first.shape or part.dtype != first.dtype for part in parts):
        raise FileFormatError(f"{source}: the arrays of a list differ in shape or dtype")
    return np.stack(parts)


def _array_of_list(value: object, source: str) -> npt.NDArray[Any]:
    if not isinstance(value, _Array):
        raise FileFormatError(f"{source}: expected a list of arrays, got a {type(value).__name__} in it")
    return _decode(value, source)


def _decode(record: _Array, source: str) -> npt.NDArray[Any]:
    """An array over the recorded bytes; every field is what the file says, so none is trusted."""
    shape, dtype, content = record.shape, record.dtype, record.content
    if not (isinstance(dtype, _Dtype) and dtype.is_number()):
        shown = dtype.code[:20] if isinstance(dtype, _Dtype) else type(dtype).__name__
        raise FileFormatError(f"{source}: expected numbers ({', '.join(_DTYPES)}), got dtype {shown!r}")
    if not isinstance(shape, tuple) or len(shape) > 64 or not all(map(_is_extent, shape)):
        raise FileFormatError(f"{source}: an array's shape is not a tuple of positive integers")
    kept = np.dtype(f"{dtype.byte_order}{dtype.code}")
    if not isinstance(content, bytes) or len(content) != math.prod(shape) * kept.itemsize:
        got = f"{len(content)} bytes" if isinstance(content, bytes) else f"a {type(content).__name__}"
        raise FileFormatError(f"{source}: an array of shape {shape} and dtype {kept} has {got} of values")
    return np.frombuffer(content, kept).reshape(shape, order="F" if record.fortran else "C")


def _is_extent(value: object) -> bool:
    return type(value) is int and 0 < value < 2**63


def _text(value: object) -> str:
    """Text of either Python: its own, or the bytes of Python 2."""
    if isinstance(value, bytes):
        return value.decode("ascii")
    if not isinstance(value, str):
        raise pickle.UnpicklingError(f"expected a text, got {type(value).__name__}")
    return value
