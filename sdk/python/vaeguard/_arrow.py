"""A detector in a process of its own that is asked by Arrow batches: what the skins of engines share.

Needs pyarrow and the program vaeguard. It imports nothing else of the package, so that it can be sent to a worker that has no package.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import types
from collections import deque
from typing import IO, Any, Deque, Dict, Iterable, Iterator, List, Sequence, Tuple, Union, cast

import pyarrow as pa

AHEAD = 2  # batches that are sent before the first of them is answered


def arguments(allow_command: Union[str, Sequence[str]], more: Sequence[str]) -> List[str]:
    """The flags of detect besides those that ArrowDetector sets."""
    out = list(more)
    for digest in [allow_command] if isinstance(allow_command, str) else allow_command:
        out += ["--allow-command", digest]
    return out


def plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """batch with columns of extension types, such as Ray's tensors, as what they are stored as."""
    columns = [
        c.storage if isinstance(c, pa.ExtensionArray) and c.type.extension_name != "arrow.fixed_shape_tensor" else c for c in batch.columns
    ]
    fields = [pa.field(f.name, c.type, f.nullable) for f, c in zip(batch.schema, columns)]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))


class ArrowDetector:
    """vaeguard detect as a process that answers each record batch by one, in order. All batches have the columns of the first.

    binary: the program, as _program.find names it where the package is.
    """

    def __init__(self, detector: str, binary: str, flags: Sequence[str] = ()) -> None:
        command = [
            binary,
            "detect",
            detector,
            "--data",
            "-",
            "--input-format",
            "arrow",
            "--format",
            "arrow",
            "--on-error",
            "skip",
            "--quiet",
        ]
        self._process = subprocess.Popen([*command, *flags], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self._stdin, self._stdout, self._stderr = (
            cast("IO[bytes]", pipe) for pipe in (self._process.stdin, self._process.stdout, self._process.stderr)
        )
        self._errors: Deque[str] = deque(maxlen=20)
        self._drained = threading.Thread(target=self._drain, daemon=True)
        self._drained.start()
        self._owner = os.getpid()
        self._abandoned = False  # a stream was left before its end: answers wait that nobody takes
        self._writer: Any = None
        self._reader: Any = None

    def _drain(self) -> None:
        for line in self._stderr:
            self._errors.append(line.decode(errors="replace").rstrip())

    def _ended(self) -> RuntimeError:
        self._process.wait()
        self._drained.join(1)
        return RuntimeError("vaeguard ended: " + "\n".join(self._errors))

    def _send(self, batch: pa.RecordBatch) -> None:
        if self._writer is None:
            self._writer = pa.ipc.new_stream(self._stdin, batch.schema)
        self._writer.write_batch(batch)
        self._stdin.flush()

    def _receive(self) -> pa.RecordBatch:
        try:
            if self._reader is None:
                self._reader = pa.ipc.open_stream(self._stdout)
            return self._reader.read_next_batch()
        except (StopIteration, pa.ArrowInvalid, OSError):
            raise self._ended() from None

    def stream(self, batches: Iterable[pa.RecordBatch]) -> Iterator[Tuple[pa.RecordBatch, pa.RecordBatch]]:
        """Each batch with its answer, in order. What is sent ahead is at most AHEAD batches. Raises RuntimeError if vaeguard ends."""
        sent: Deque[pa.RecordBatch] = deque()
        fault: List[BaseException] = []
        news = threading.Condition()
        state = {"done": False, "stopped": False}

        def send() -> None:
            try:
                for batch in batches:
                    with news:
                        while len(sent) >= AHEAD and not state["stopped"]:
                            news.wait()
                        if state["stopped"]:
                            return
                        sent.append(batch)
                        news.notify_all()
                    self._send(plain(batch))
            except (BrokenPipeError, pa.ArrowInvalid, OSError) as e:
                if not isinstance(e, (BrokenPipeError, OSError)):
                    fault.append(e)
            except BaseException as e:  # of the caller's iterator: it is raised there
                fault.append(e)
            finally:
                with news:
                    state["done"] = True
                    news.notify_all()

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        whole = False
        try:
            while True:
                with news:
                    while not sent and not state["done"]:
                        news.wait()
                    if fault:
                        raise fault[0]
                    if not sent:
                        whole = True
                        return
                    batch = sent[0]
                answer = self._receive()
                with news:
                    sent.popleft()
                    news.notify_all()
                yield batch, answer
        finally:
            self._abandoned = self._abandoned or not whole
            with news:
                state["stopped"] = True
                news.notify_all()

    def detect(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The answer to one batch."""
        answers = [answer for _, answer in self.stream([batch])]
        if not answers:
            raise self._ended()
        return answers[0]

    def close(self) -> None:
        """Ends the process, by force where a stream was left before its end: there it waits for somebody to take its answers, and
        the thread that sends waits for it. A child that was forked leaves it alone."""
        if self._owner != os.getpid():
            return
        if self._abandoned:
            self._process.kill()
        with contextlib.suppress(BrokenPipeError, OSError, pa.ArrowInvalid):
            if self._writer is not None:
                self._writer.close()
        with contextlib.suppress(BrokenPipeError, OSError):
            self._stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._drained.join(1)
        self._stdout.close()
        self._stderr.close()


def kept(batch: pa.RecordBatch, keep: Sequence[str]) -> Tuple[List[pa.Field], List[pa.Array]]:
    """The columns of a batch that are to stand before the verdicts. Raises ValueError for one that is not there, or there twice."""
    for name in keep:
        n = len(batch.schema.get_all_field_indices(name))
        if n != 1:
            what = "no column" if n == 0 else "more than one column"
            raise ValueError(f"{what} {name!r} to keep; there are {', '.join(batch.schema.names)}")
    at = [batch.schema.get_field_index(name) for name in keep]
    return [batch.schema.field(i) for i in at], [batch.column(i) for i in at]


def verdicts(batch: pa.RecordBatch, answer: pa.RecordBatch, keep: Sequence[str]) -> pa.RecordBatch:
    """The kept columns of a batch, as they are, beside what the detector says of its rows. Raises ValueError as kept."""
    fields, columns = kept(batch, keep)
    for field, column in zip(answer.schema, answer.columns):
        if field.name != "index":  # counts what this process has seen, which means nothing
            fields.append(pa.field(field.name, field.type, True))
            columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))


def borrowed(
    detector: str, binary: str, flags: Sequence[str], batches: Iterable[pa.RecordBatch]
) -> Iterator[Tuple[pa.RecordBatch, pa.RecordBatch]]:
    """stream of a process that this worker keeps for the next call with the same detector and columns."""
    batches = iter(batches)
    first = next(batches, None)
    if first is None:
        return
    home = cast(Any, sys.modules.setdefault("_vaeguard_kept", types.ModuleType("_vaeguard_kept")))
    kept: Dict[Any, ArrowDetector] = home.__dict__.setdefault("detectors", {})
    key = (detector, binary, tuple(flags), os.getpid(), str(plain(first).schema))
    guard = kept.pop(key, None) or ArrowDetector(detector, binary, flags)

    def chain() -> Iterator[pa.RecordBatch]:
        yield first
        yield from batches

    whole = False
    try:
        yield from guard.stream(chain())
        whole = True
    finally:
        if whole:
            kept[key] = guard
        else:
            guard.close()
