"""Pickles made to do harm: nothing in them is run, nothing is changed, and memory stays within the limit."""

from __future__ import annotations

import gzip
import os
import pickle
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isograd.data import DatasetSplits, read_mnist_pickle
from isograd.errors import FileFormatError, IsogradError

LIMIT = 2**24
# The function-scoped directory is only a place for one file, written anew each time.
reuse = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
PAIR = np.arange(6, dtype=np.float32).reshape(2, 3), np.array([4, 5])


def write(folder: Path, content: bytes, packed: bool = False) -> Path:
    path = folder / "file.pkl.gz"
    path.write_bytes(gzip.compress(content, 1) if packed else content)
    return path


def read_within(path: Path, factor: float = 3.0, limit: int = LIMIT) -> DatasetSplits | IsogradError:
    """What `read_mnist_pickle` returns or raises; fails if it held more than `factor` times the limit."""
    tracemalloc.start()
    try:
        return read_mnist_pickle(path, max_bytes=limit)
    except IsogradError as error:
        return error
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak <= factor * limit


# --- Code ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "posix.system",
        "builtins.eval",
        "builtins.getattr",
        "__builtin__.eval",
        "copyreg._reconstructor",
        "numpy.load",
        "numpy.matrix",
        "numpy.ndarray.tofile",
        "numpy.core.multiarray.fromfile",
        "numpy._core.multiarray._reconstruct.__globals__",
        "_codecs.decode",
        "isograd.data.mnist_pickle._load",
    ],
)
@pytest.mark.parametrize("protocol", [0, 4])
def test_any_other_global_is_refused_by_name(tmp_path: Path, name: str, protocol: int) -> None:
    module, attribute = name.rsplit(".", 1)
    if protocol == 0:
        content = f"c{module}\n{attribute}\n(S'x'\ntR.".encode()
    else:
        content = b"\x80\x04" + b"".join(
            b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, attribute)
        )
        content += b"\x93)R."
    with pytest.raises(FileFormatError, match=f"refers to '{name}'"):
        read_mnist_pickle(write(tmp_path, content))


def test_what_a_pickle_would_run_is_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(marker),)

    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        path = write(tmp_path, pickle.dumps((PAIR, PAIR, (Hostile(), Hostile())), protocol))
        with pytest.raises(FileFormatError, match="mkdir"):
            read_mnist_pickle(path)
    assert not marker.exists()


ADMITTED = [
    b"cnumpy.core.multiarray\n_reconstruct\n",
    b"cnumpy._core.multiarray\nscalar\n",
    b"cnumpy._core.numeric\n_frombuffer\n",
    b"cnumpy\ndtype\n",
    b"cnumpy\nndarray\n",
    b"c_codecs\nencode\n",
]


@pytest.mark.parametrize(
    "target", [*ADMITTED, b"cnumpy\ndtype\n(S'f4'\ntR", b"N", b"K\1", b"]", b")", b"S'a'\n"]
)
@pytest.mark.parametrize(
    "state",
    [
        b"(S'__call__'\nS'x'\nt",
        b"(N(S'__class__'\nS'x'\ntt",
        b"(lp0\n",
        b"S'text'\n",
        b"K\1",
        b"(K\1K\2K\3K\4K\5t",
        ADMITTED[0],
    ],
)
def test_no_state_can_be_set_on_what_is_not_an_array(tmp_path: Path, target: bytes, state: bytes) -> None:
    """BUILD sets attributes of what lies on the stack; on a shared function they would outlive the read."""
    path = write(tmp_path, target + state + b"b.")
    with pytest.raises(FileFormatError):
        read_mnist_pickle(path)
    after = read_mnist_pickle(write(tmp_path, pickle.dumps((PAIR,) * 3, 2))).training
    assert np.array_equal(after.inputs, PAIR[0])
    assert np.array_equal(after.labels, PAIR[1])


PIECES = [
    b"N",
    b"K\1",
    b"(",
    b"t",
    b"l",
    b"]",
    b")",
    b"a",
    b"e",
    b"R",
    b"b",
    b"S'f4'\n",
    b"S'<'\n",
    b"q\0",
    b"h\0",
]
PIECES += [
    *ADMITTED,
    b"\x85",
    b"\x86",
    b"\x87",
    b"U\4\0\0\0\1",
    b"X\6\0\0\0latin1",
    b"\x94",
    b"0",
    b"2",
    b"}",
]


@reuse
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=40))
def test_any_program_of_admitted_instructions_ends_in_data_or_an_isograd_error(
    tmp_path: Path, pieces: list[bytes]
) -> None:
    result = read_within(write(tmp_path, b"".join(pieces) + b"."))
    assert isinstance(result, FileFormatError)


REFUSED = """
    INST OBJ NEWOBJ NEWOBJ_EX PERSID BINPERSID EXT1 EXT2 EXT4 DICT EMPTY_DICT SETITEM SETITEMS EMPTY_SET
    ADDITEMS FROZENSET POP POP_MARK DUP FLOAT BINFLOAT LONG4 NEXT_BUFFER READONLY_BUFFER
"""


@pytest.mark.parametrize("instruction", REFUSED.split())
def test_an_instruction_that_arrays_do_not_need_is_refused_by_its_code(
    tmp_path: Path, instruction: str
) -> None:
    code = getattr(pickle, instruction)
    with pytest.raises(FileFormatError, match=r"instruction .* is not one that arrays need") as caught:
        read_mnist_pickle(write(tmp_path, b"((]]" + code + b"."))
    assert repr(code.decode("latin1")) in str(caught.value)


def test_only_the_encoding_that_writes_values_is_admitted(tmp_path: Path) -> None:
    call = b"c_codecs\nencode\nX\2\0\0\0aaX\5\0\0\0utf-7\x86R."
    with pytest.raises(FileFormatError, match="latin1"):
        read_mnist_pickle(write(tmp_path, call))


# --- Memory ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"]r\xff\xff\xff\xff.", id="memo index of LONG_BINPUT"),
        pytest.param(b"]p99999999999\n.", id="memo index of PUT"),
        pytest.param(b"T\xff\xff\xff\x7fabc", id="BINSTRING"),
        pytest.param(b"X\xff\xff\xff\xffabc", id="BINUNICODE"),
        pytest.param(b"B\xff\xff\xff\xffabc", id="BINBYTES"),
        pytest.param(b"\x8e" + struct.pack("<Q", 2**40) + b"abc", id="BINBYTES8"),
        pytest.param(b"\x8d" + struct.pack("<Q", 2**40) + b"abc", id="BINUNICODE8"),
        pytest.param(b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"abc", id="BYTEARRAY8"),
        pytest.param(b"\x80\x04\x95" + struct.pack("<Q", 2**40) + b"abc", id="FRAME"),
        pytest.param(b"\x8b\xff\xff\xff\x7fabc", id="LONG4"),
        pytest.param(b"I" + b"9" * 100_000 + b"\n.", id="a number of 100,000 digits"),
    ],
)
def test_a_length_or_index_in_the_file_reserves_no_memory(tmp_path: Path, content: bytes) -> None:
    result = read_within(write(tmp_path, content), limit=2**50, factor=2.0**-29)
    assert isinstance(result, FileFormatError)


@pytest.mark.parametrize(
    ("start", "repeated"),
    [
        (b"", b"]"),
        (b"", b"("),
        (b"", b"N"),
        (b")", b"\x85"),
        (b"\x80\x04]", b"\x94"),
        # A frame is one read of the standard unpickler, whatever number of instructions it holds.
        (b"\x80\x04\x95" + struct.pack("<Q", 2**22 // 128), b"]"),
        (b"]q\0", b"h\0"),
        (b"(", b"K\7"),
        (b"(", b"\x8a\xff" + b"\x7f" * 255),
        (b"", b"cnumpy\ndtype\n"),
        (b"", b"S'some text'\n"),
        (
            b"c_codecs\nencode\nq\0" + b"X\0\0\x10\0" + b"a" * 2**20 + b"q\1X\6\0\0\0latin1q\2",
            b"h\0h\1h\2\x86R",
        ),
    ],
)
def test_a_bomb_of_small_instructions_stays_within_the_limit(
    tmp_path: Path, start: bytes, repeated: bytes
) -> None:
    limit = 2**22
    result = read_within(write(tmp_path, start + repeated * (limit // 128), packed=True), limit=limit)
    assert isinstance(result, FileFormatError)
    assert "max_bytes" in str(result)


def test_a_gzip_bomb_in_one_line_stays_within_a_few_times_the_limit(tmp_path: Path) -> None:
    path = write(tmp_path, b"S'" + bytes(100 * 2**20), packed=True)
    assert isinstance(read_within(path, limit=2**22, factor=4), FileFormatError)


def test_a_list_that_names_one_array_often_is_not_stacked_beyond_the_limit(tmp_path: Path) -> None:
    row = np.zeros(2**18, np.float32)
    pair = ([row] * 1000, [np.int64(0)] * 1000)
    result = read_within(write(tmp_path, pickle.dumps((pair,) * 3)))
    assert isinstance(result, FileFormatError)
    assert "max_bytes" in str(result)


@pytest.mark.parametrize("depth", [60, 10_000])
def test_deep_and_doubling_structures_are_refused_at_once(tmp_path: Path, depth: int) -> None:
    # Each tuple holds the one before it twice: walking it, comparing it or printing it would take 2**depth
    # steps.
    result = read_within(write(tmp_path, b")" + b"q\0h\0\x86" * depth + b"."))
    assert isinstance(result, FileFormatError)
    assert "tuple of 3" in str(result)


# --- Arrays that lie -------------------------------------------------------------------------------


def lying(
    shape: bytes = b"K\1K\4\x86",
    code: bytes = b"U\2f4",
    dtype_state: bytes = b"(K\3U\1<NNNK\0K\0K\0t",
    values: bytes = b"T\x10\0\0\0" + bytes(16),
) -> bytes:
    """A file whose inputs are pickled with these parts; by default sound ones of shape (1, 4)."""

    def array(shape: bytes, code: bytes, dtype_state: bytes, values: bytes) -> bytes:
        start = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85U\1b\x87R(K\1" + shape
        return start + b"cnumpy\ndtype\n" + code + b"K\0K\1\x87R" + dtype_state + b"b\x89" + values + b"tb"

    labels = array(b"K\1\x85", b"U\2u1", b"(K\3U\1|NNNK\0K\0K\0t", b"U\1\7")
    return (array(shape, code, dtype_state, values) + labels + b"\x86") * 3 + b"\x87."


def test_the_array_that_the_lies_below_are_made_from_is_sound(tmp_path: Path) -> None:
    training = read_mnist_pickle(write(tmp_path, lying())).training
    assert training.inputs.tolist() == [[0, 0, 0, 0]]
    assert training.labels.tolist() == [7]


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"shape": b"K\2K\4\x86"}, "has 16 bytes"),
        ({"shape": b"\x8a\6" + b"\0\0\0\0\0\1" + b"\x85"}, "has 16 bytes"),
        ({"shape": b"\x8a\x0a" + b"\0" * 9 + b"\1" + b"\x85"}, "positive integers"),
        ({"shape": b"I0x" + b"f" * 5000 + b"\n\x85"}, "positive integers"),
        ({"shape": b"J\xff\xff\xff\xffJ\xfc\xff\xff\xff\x86"}, "positive integers"),
        ({"shape": b"K\0K\4\x86"}, "positive integers"),
        ({"shape": b"\x88K\4\x86"}, "positive integers"),
        ({"shape": b"(" + b"K\1" * 65 + b"t"}, "positive integers"),
        ({"shape": b"(K\1K\4l"}, "positive integers"),
        ({"shape": b"N"}, "positive integers"),
        ({"code": b"U\2O8"}, "got dtype 'O8'"),
        ({"code": b"U\2V4"}, "got dtype 'V4'"),
        ({"code": b"U\2c8"}, "got dtype 'c8'"),
        ({"code": b"U\5i4,i4"}, "got dtype 'i4,i4'"),
        ({"code": b"N"}, "expected a text, got NoneType"),
        ({"dtype_state": b"(K\3U\1?NNNK\0K\0K\0t"}, "got dtype 'f4'"),
        ({"dtype_state": b"(K\3U\1<(K\1K\2tNNK\0K\0K\0t"}, "got dtype 'f4'"),
        ({"dtype_state": b"(K\3U\1<N(U\1at(U\1atK\0K\0K\0t"}, "got dtype 'f4'"),
        ({"dtype_state": b"(K\3t"}, "damaged"),
        ({"values": b"N"}, "has a NoneType"),
        ({"values": b"(K\0K\0l"}, "has a list"),
        ({"values": b"X\x10\0\0\0" + b"a" * 16}, "has a str"),
        ({"values": b"T\x10\0\0\0" + b"\xff" * 16}, "expected finite numbers"),
    ],
)
def test_an_array_whose_parts_do_not_agree_is_refused(
    tmp_path: Path, parts: dict[str, bytes], words: str
) -> None:
    result = read_within(write(tmp_path, lying(**parts)), factor=0.1)
    assert isinstance(result, FileFormatError)
    assert words in str(result)
