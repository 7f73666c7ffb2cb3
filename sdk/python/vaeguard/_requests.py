"""The program vaeguard kept running to answer requests: detect --requests, arrays to and fro."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import subprocess
import threading
from collections import deque
from typing import IO, Any, Deque, Dict, List, Mapping, Optional, Sequence, cast

import numpy as np
import numpy.typing as npt

from ._here import finalize

_BLOCK = 1 << 20
_GRACE = 30  # seconds for an orderly end
_LINE = 1 << 16  # most bytes that are kept of a line of stderr


class EndedError(RuntimeError):
    """The program ended, or was closed."""


class FailedError(RuntimeError):
    """The model failed on rows that are sound, or vaeguard did."""


class Requests:
    """A process that answers one request after the other, and ends with the object. environment is added to this process's own.

    A child that this process forks has no part in it: there it is not alive, and close leaves the process alone.
    """

    def __init__(self, command: Sequence[str], environment: Optional[Mapping[str, str]] = None) -> None:
        env = {**os.environ, **(environment or {})}
        # A session of its own: Ctrl-C is this process's, which ends the other.
        self._process = subprocess.Popen(
            list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, start_new_session=True
        )
        self._stdin, self._stdout, self._stderr = (
            cast("IO[bytes]", pipe) for pipe in (self._process.stdin, self._process.stdout, self._process.stderr)
        )
        self._owner = os.getpid()
        self._errors: Deque[str] = deque(maxlen=20)
        self._drained = threading.Thread(target=_drain, args=(self._stderr, self._errors), daemon=True)
        self._drained.start()
        finalize(self, _end, self._process, self._drained)

    @property
    def alive(self) -> bool:
        return self._owner == os.getpid() and not self._stdin.closed and self._process.poll() is None

    def ask(self, format: str, body: bytes) -> Dict[str, npt.NDArray[Any]]:
        """The arrays that answer a file of rows in a format.

        Raises ValueError for rows that cannot be judged, ConnectionError while the classifier is away, FailedError if it failed,
        EndedError if there is no answer.
        Whatever else is raised meanwhile, such as KeyboardInterrupt, ends the process: its answer would be taken for another's.
        """
        if self._stdin.closed:
            raise EndedError("the detector was closed, or vaeguard ended")
        try:
            kind, answer = self._exchange(format, body)
        except (BrokenPipeError, EOFError):
            self._process.wait()
            self._drained.join(1)
            text = "\n".join(self._errors)
            self.close(kill=True)
            raise EndedError("vaeguard ended: " + text) from None
        except BaseException:
            self.close(kill=True)
            raise
        if kind == b"R":
            with np.load(io.BytesIO(answer), allow_pickle=False) as z:
                return {name: z[name] for name in z.files}
        text = answer.decode(errors="replace")
        if kind == b"A":
            raise ConnectionError(text)
        if kind == b"F":
            raise FailedError(text)
        raise ValueError(text[3:] if text.startswith("-: ") else text)

    def _exchange(self, format: str, body: bytes) -> tuple[bytes, bytes]:
        name = format.encode()
        failed: List[BaseException] = []

        def write() -> None:
            try:
                self._stdin.write(bytes([len(name)]) + name + struct.pack("<Q", len(body)))
                self._stdin.write(body)
                self._stdin.flush()
            except BaseException as e:
                failed.append(e)

        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        head = self._read(9)
        answer = self._read(struct.unpack("<Q", head[1:])[0])
        writer.join()
        if failed:
            raise EOFError
        return head[:1], answer

    def _read(self, n: int) -> bytes:
        parts = []
        while n:
            part = self._stdout.read(min(n, _BLOCK))
            if not part:
                raise EOFError
            parts.append(part)
            n -= len(part)
        return b"".join(parts)

    def close(self, kill: bool = False) -> None:
        """Ends the process."""
        if self._owner != os.getpid():
            null = os.open(os.devnull, os.O_RDWR)
            for pipe in (self._stdin, self._stdout, self._stderr):  # close would wait for locks of threads that are not here
                if not pipe.closed:
                    os.dup2(null, pipe.fileno())
            os.close(null)
            return
        _end(self._process, self._drained, kill)


def _drain(stderr: IO[bytes], errors: Deque[str]) -> None:
    """Keeps the last lines. By the descriptor: a reader's lock would be held in a child that is forked, and close there waits for it."""
    left = b""
    with contextlib.suppress(OSError, ValueError):  # closed meanwhile
        while part := os.read(stderr.fileno(), 1 << 16):
            *lines, left = (left + part).split(b"\n")
            errors.extend(line.decode(errors="replace").rstrip() for line in lines)
            left = left[-_LINE:]
    if left:
        errors.append(left.decode(errors="replace").rstrip())


def _end(process: subprocess.Popen[bytes], drained: threading.Thread, kill: bool = False) -> None:
    """Ends the process, in order or by force, and closes its pipes."""
    stdin, stdout, stderr = (cast("IO[bytes]", pipe) for pipe in (process.stdin, process.stdout, process.stderr))
    if stdin.closed and process.poll() is not None and stdout.closed:
        return
    if kill:
        process.kill()
    with contextlib.suppress(BrokenPipeError):
        stdin.close()
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    drained.join(5)
    stdout.close()
    stderr.close()
