"""Callbacks that write each epoch to a file which other programs read."""

from __future__ import annotations

import csv
import io
import json
import os
from abc import abstractmethod
from dataclasses import fields

from isograd.data.files import opened, write_whole
from isograd.errors import FileAccessError, FileFormatError
from isograd.training.callbacks import Callback, Progress
from isograd.training.checks import checked_path
from isograd.training.history import MEASURED, EpochRecord

_FIELDS = tuple(field.name for field in fields(EpochRecord) if field.name != MEASURED)


class _Log(Callback):
    """What both kinds of file have in common.

    At the start the file gets the epochs that the run has already, then one after the other: so it has each
    epoch once, wherever the run that is resumed was cut off.
    """

    # How a file of this kind begins, whichever fields records had. Another one is somebody's, and stays.
    _begins: bytes

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = checked_path("path", path)
        self._records: list[EpochRecord] = []

    def on_start(self, progress: Progress) -> None:
        self._check_file()
        self._records = list(progress.records)
        self._write_all()

    def on_epoch(self, record: EpochRecord) -> None:
        self._records.append(record)
        if self._fits(record) and os.path.isfile(self.path):
            self._append(self._line(record))
        else:
            self._write_all()

    def _check_file(self) -> None:
        """Refuse to replace what is no such log."""
        # What a Path would raise where a folder can not be looked into, writing will say.
        if not os.path.exists(self.path):
            return
        if not os.path.isfile(self.path):
            raise FileAccessError(f"{self.path}: is no regular file")
        with opened(self.path) as file:
            begins = file.read(len(self._begins))
        # A shorter one was cut off in the first line.
        if not self._begins.startswith(begins):
            raise FileFormatError(
                f"{self.path}: is no file of {type(self).__name__}, which begins with "
                f"{self._begins.decode()!r}; expected another path"
            )

    def _write_all(self) -> None:
        lines = self._head() + "".join(map(self._line, self._records))
        write_whole(self.path, _encoded(lines))

    def _append(self, line: str) -> None:
        try:
            with open(self.path, "ab") as file:
                file.write(_encoded(line))
        except OSError as error:
            raise FileAccessError(f"{self.path}: can not be written: {error.strerror or error}") from error

    def _head(self) -> str:
        """What comes before the epochs."""
        return ""

    def _fits(self, record: EpochRecord) -> bool:
        """Whether a line can be appended for it."""
        return True

    @abstractmethod
    def _line(self, record: EpochRecord) -> str: ...


class CSVLog(_Log):
    """Writes a table of the epochs as comma-separated values, a row as soon as an epoch is finished.

    The columns are the fields of `EpochRecord`, and "measured/NAME" for each NAME that callbacks measure; a
    name that appears later gives all rows the further column. A cell is empty where there is no value; "nan",
    "inf" and "-inf" are what they say, as in a history. The text is UTF-8, its lines end with a line feed.

    A run that is resumed goes on with the file; one that begins replaces a log of the same name, but no file
    that is something else.

    Parameters
    ----------
    path : path
        Its folder must exist.

    Raises
    ------
    ArgumentTypeError
        If `path` is no path.
    FileAccessError, FileFormatError
        Before the run's first step, if the file can not be written, or there is one that is no such log.
    """

    _begins = ",".join(_FIELDS[:3]).encode()

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path)
        self._measured: list[str] = []

    def _head(self) -> str:
        self._measured = list(dict.fromkeys(name for record in self._records for name in record.measured))
        return _row([*_FIELDS, *(f"{MEASURED}/{name}" for name in self._measured)])

    def _fits(self, record: EpochRecord) -> bool:
        return set(record.measured) <= set(self._measured)

    def _line(self, record: EpochRecord) -> str:
        data = record.to_data()
        measured = data.get(MEASURED, {})
        return _row([*(data.get(name) for name in _FIELDS), *(measured.get(name) for name in self._measured)])


class JSONLinesLog(_Log):
    """Writes a line of JSON for each epoch, as soon as it is finished: what `EpochRecord.to_data` gives.

    NaN and infinities are the texts "nan", "inf" and "-inf". For files that there are already, parameters and
    errors see `CSVLog`.
    """

    _begins = b'{"epoch": '

    def _line(self, record: EpochRecord) -> str:
        return json.dumps(record.to_data(), allow_nan=False) + "\n"


def _row(cells: list[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def _encoded(text: str) -> bytes:
    # Half a surrogate pair, which a name may have, is no UTF-8.
    return text.encode("utf-8", "backslashreplace")
