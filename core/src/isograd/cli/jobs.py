"""Several runs, each trained by `isograd train` in a process and a folder of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Lock
from typing import TYPE_CHECKING, Any

from isograd.cli.folders import CHECKPOINT, HISTORY, write_text
from isograd.errors import ArgumentError, FileAccessError
from isograd.runs import RUN_FILE, RunFile, read_run

if TYPE_CHECKING:
    from isograd.training import History

# How the command line is started; a sequence of arguments to which those of `isograd` are added.
PROGRAM = (sys.executable, "-m", "isograd")
LOG = "errors.txt"


@dataclass(frozen=True)
class Job:
    """One run.

    Attributes
    ----------
    run : RunFile
    folder : Path
        As `isograd train --out`; it is made where it does not exist.
    """

    run: RunFile
    folder: Path

    def history(self) -> History | None:
        """The history of the run, if it is over; None where it has not begun or can go on.

        Raises
        ------
        ArgumentError
            If the folder holds another run.
        FileAccessError, FileFormatError
            If what is there can not be read.
        """
        from isograd.training import History

        if not self._begun():
            return None
        try:
            text = (self.folder / HISTORY).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise FileAccessError(f"{self.folder / HISTORY}: can not be read: {error.strerror}") from error
        history = History.from_json(text)
        return history if history.stopped in ("completed", "early stopping") else None

    def _begun(self) -> bool:
        """Whether the folder holds a checkpoint of this run."""
        if not (self.folder / CHECKPOINT).exists():
            return False
        saved = read_run(self.folder / RUN_FILE)
        # The saved run names the device and the threads that were left open.
        given = self.run.backend
        if given is None or f"{saved.backend}:".startswith(f"{given}:"):
            saved = replace(saved, backend=given)
        saved = replace(saved, threads=self.run.threads)
        difference = next(_differences(asdict(saved), asdict(self.run)), None)
        if difference is not None:
            raise ArgumentError(
                f"{self.folder} holds the run {saved.name!r} with other settings: {difference}; pass another "
                "folder, or remove this one"
            )
        return True

    def command(self) -> list[str]:
        """The arguments of `isograd` that begin the run, or go on with it.

        The run file is written to the folder. Options repeat what the environment could change.
        """
        resume = self._begun()
        if not resume:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise FileAccessError(f"{self.folder}: can not be made: {error.strerror}") from error
            write_text(self.folder / RUN_FILE, self.run.to_toml())
        arguments = ["train", str(self.folder / RUN_FILE), "--out", str(self.folder), "--json"]
        arguments += ["--seed", str(self.run.seed)]
        arguments += [] if self.run.backend is None else ["--backend", self.run.backend]
        return [*arguments, *(["--resume"] if resume else [])]


def _differences(there: Mapping[str, Any], asked: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """What differs in two runs as plain data, key by key."""
    for key, value in asked.items():
        if isinstance(value, dict) and isinstance(there[key], dict):
            yield from _differences({**dict.fromkeys(value), **there[key]}, value, f"{path}{key}.")
        elif there[key] != value:
            yield f"{path}{key} is {there[key]!r} there, {value!r} here"


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes
    ----------
    history : History, optional
        None where it failed.
    error : str
        What the process said; empty where it did not fail.
    """

    job: Job
    history: History | None = None
    error: str = ""


@dataclass
class _Processes:
    """Those that run, so that an interrupt reaches each of them once."""

    stop: Event = field(default_factory=Event)
    lock: Lock = field(default_factory=Lock)
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, arguments: Sequence[str], log: Path) -> subprocess.Popen[str] | None:
        """A process with a session of its own, which no Ctrl-C of a terminal reaches; None after `halt`."""
        with self.lock, log.open("w", encoding="utf-8") as errors:
            if self.stop.is_set():
                return None
            process = subprocess.Popen(
                [*PROGRAM, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
            self.running.append(process)
            return process

    def halt(self) -> None:
        """Start no more, and let those that run end with a checkpoint."""
        with self.lock:
            self.stop.set()
            for process in self.running:
                process.send_signal(signal.SIGINT)


def cores() -> int:
    """How many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def train_all(
    jobs: Sequence[Job], workers: int, told: Callable[[Job, Mapping[str, Any]], None]
) -> list[Outcome]:
    """Train what is not trained yet, so many runs at a time; the outcomes in the order of the jobs.

    A job that is over is left alone, one that was interrupted or failed goes on from its checkpoint, or
    begins again where it has none. A failure does not keep the others from being trained.

    Parameters
    ----------
    jobs : sequence of Job
    workers : int
        How many processes at a time. With more than one, each has its share of the cores to itself, where the
        system can do that.
    told : callable
        Called with a job and each JSON object that `isograd train --json` prints for it, by one thread at a
        time.

    Raises
    ------
    ArgumentError
        If a folder holds another run; nothing has been started then.
    FileAccessError, FileFormatError
        If a folder can not be used.
    KeyboardInterrupt
        After Ctrl-C, when every process has written its checkpoint.
    """
    finished = [job.history() for job in jobs]
    outcomes = [Outcome(job, history) for job, history in zip(jobs, finished, strict=True)]
    left = [index for index, history in enumerate(finished) if history is None]
    processes, lock = _Processes(), Lock()
    shares: SimpleQueue[set[int]] = SimpleQueue()
    for share in _shares(min(workers, len(left))):
        shares.put(share)

    def told_alone(job: Job, event: Mapping[str, Any]) -> None:
        with lock:
            told(job, event)

    def carry_out(index: int) -> None:
        share = shares.get()
        try:
            outcomes[index] = _train(jobs[index], processes, share, told_alone)
        finally:
            shares.put(share)

    with ThreadPoolExecutor(max(1, min(workers, len(left)))) as pool:
        futures = [pool.submit(carry_out, index) for index in left]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
            for future in futures:
                if future.done():
                    future.result()
        except BaseException:
            processes.halt()
            raise
    return outcomes


def _shares(workers: int) -> list[set[int]]:
    """The cores of each of several processes; empty sets where they may all use all."""
    available = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if workers < 2 or len(available) < workers:
        return [set() for _ in range(workers)]
    return [set(available[worker::workers]) for worker in range(workers)]


def _train(
    job: Job, processes: _Processes, share: set[int], told: Callable[[Job, Mapping[str, Any]], None]
) -> Outcome:
    process = None if processes.stop.is_set() else processes.start(job.command(), job.folder / LOG)
    if process is None:
        return Outcome(job, error="not started")
    if share:
        os.sched_setaffinity(process.pid, share)
    end: Mapping[str, Any] = {}
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "end":
                end = event
            told(job, event)
    with processes.lock:
        processes.running.remove(process)
    history = job.history()
    if process.returncode == 0 and history is not None:
        (job.folder / LOG).unlink()
        return Outcome(job, history)
    if end.get("stopped") == "not finite":
        where = f"epoch {end['epoch']}, step {end['step']}, layer {end['layer']}"
        return Outcome(job, error=f"the cost was not finite in {where}")
    lines = (job.folder / LOG).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    said = lines[-1].removeprefix("error: ") if lines else "it said nothing"
    return Outcome(job, error=f"exit code {process.returncode}: {said}")
