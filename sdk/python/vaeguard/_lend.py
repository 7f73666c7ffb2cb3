"""Lends a classifier of this process to the programs that it starts: the other end of the plugin caller.

A program that has Lender.environment connects to a socket of this process's own, in a folder that no other user may
enter; each end proves that it knows a key before anything else is said. Then it calls as over gRPC, in frames: a byte
that says which, the length (uint32, little-endian), the bytes. Its frames are C, the name of a method, and M, a message;
the answers are M, or X, "kind\\ntext".
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import shutil
import socket
import struct
import tempfile
import threading
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

from ._errors import Error, kind_of
from ._protobuf import Message, Schema, decode, encode
from ._server import Server
from .classifier import Classifier
from .wire import CONFIGURE, CONFIGURED, DESCRIBE, DIFF, DIFF_RESPONSE, GRADIENT, GRADIENT_RESPONSE, OUTPUTS, PREDICT

VARIABLE = "VAEGUARD_CALLER"
_MAGIC = b"vaeguard caller 1\n"
_NONCE = 32
_TEXT = 4000  # bytes of an error that are sent
_PATH = 100  # bytes that the path of a socket may have everywhere


class Lender:
    """A classifier of this process, served until close by threads that answer one call after the other.

    environment: what a program needs that is to reach it, beside this process's own.
    error: what the classifier raised last, for the one who waits for that program; None: nothing.
    """

    def __init__(self, classifier: Classifier) -> None:
        self.server = Server(classifier)
        self.error: Optional[BaseException] = None
        self._key = secrets.token_bytes(32)
        self._open: List[socket.socket] = []
        self._lock = threading.Lock()
        self._closed = False
        self._folder: Optional[str] = None
        if hasattr(socket, "AF_UNIX"):
            self._folder = _short_folder()
            path = os.path.join(self._folder, "s")
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._socket.bind(path)
            where = "unix " + self._key.hex() + " " + path
        else:
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self._socket.bind(("127.0.0.1", 0))
            where = f"tcp {self._key.hex()} 127.0.0.1:{self._socket.getsockname()[1]}"
        self._socket.listen(64)
        self.environment = {VARIABLE: where}
        self._owner = os.getpid()
        threading.Thread(target=self._accept, name="vaeguard lender", daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                s, _ = self._socket.accept()
            except OSError:
                return
            with self._lock:
                if self._closed:
                    s.close()
                    return
                self._open.append(s)
            threading.Thread(target=self._serve, args=(s,), name="vaeguard lender", daemon=True).start()

    def _serve(self, s: socket.socket) -> None:
        try:
            s.settimeout(30)
            if self._greet(s):
                s.settimeout(None)
                while self._call(s):
                    pass
        except (OSError, EOFError, struct.error):
            pass  # the other end is gone, or said what it must not
        finally:
            with self._lock:
                if s in self._open:
                    self._open.remove(s)
            s.close()

    def _greet(self, s: socket.socket) -> bool:
        hello = bytes(_read(s, len(_MAGIC) + _NONCE))
        if not hello.startswith(_MAGIC):
            return False
        a, b = hello[len(_MAGIC) :], secrets.token_bytes(_NONCE)

        def proof(who: bytes) -> bytes:
            return hmac.new(self._key, who + a + b, hashlib.sha256).digest()

        s.sendall(b + proof(b"lender"))
        return hmac.compare_digest(bytes(_read(s, 32)), proof(b"vaeguard"))

    def _call(self, s: socket.socket) -> bool:
        """Answers one call; False if no other can follow."""
        kind, name = _frame(s)
        method = bytes(name).decode(errors="replace")
        if kind != b"C":
            return False
        unary: Dict[str, Tuple[Callable[[Message], Message], Schema, Schema]] = {
            "Describe": (self.server.describe, {}, DESCRIBE),
            "Configure": (self.server.configure, CONFIGURE, CONFIGURED),
            "Predict": (self.server.predict, PREDICT, OUTPUTS),
            "Gradient": (self.server.gradient, GRADIENT, GRADIENT_RESPONSE),
        }
        if method == "Differentiate":
            self._stream(s)
            return False
        if method not in unary:
            _send(s, b"X", f"unimplemented\na lent model has no {method}".encode())
            return False
        f, request, response = unary[method]
        _, body = _frame(s)
        try:
            answer = encode(response, f(decode(request, body)))
        except BaseException as e:  # a model that exits ends its call alone
            self._refuse(s, e)
            return True
        _send(s, b"M", answer)
        return True

    def _stream(self, s: socket.socket) -> None:
        def steps() -> Iterator[Message]:
            while True:
                try:
                    kind, body = _frame(s)
                except (OSError, EOFError):
                    return
                if kind != b"M":
                    return
                yield decode(DIFF, body)

        try:
            for m in self.server.differentiate(steps(), lambda: True):
                _send(s, b"M", encode(DIFF_RESPONSE, m))
        except OSError:
            pass
        except BaseException as e:
            self._refuse(s, e)

    def _refuse(self, s: socket.socket, e: BaseException) -> None:
        if not isinstance(e, Error):
            self.error = e
        kind, text = kind_of(e)
        _send(s, b"X", f"{kind}\n{text}".encode()[:_TEXT])

    def close(self) -> None:
        """Ends the service. Calls under way end without an answer. A child that was forked lets go of its part alone."""
        if self._owner != os.getpid():
            for s in (self._socket, *self._open):
                s.close()
            return
        with self._lock:
            if self._closed:
                return
            self._closed = True
            open_, self._open = self._open, []
        for s in [self._socket, *open_]:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)


def _short_folder() -> str:
    """A new folder of this user's alone, with a path that a socket's may begin with."""
    folder = tempfile.mkdtemp(prefix="vg")
    if len(os.fsencode(folder)) + 2 > _PATH:
        os.rmdir(folder)
        folder = tempfile.mkdtemp(prefix="vg", dir="/tmp")
    return folder


def _read(s: socket.socket, n: int) -> memoryview:
    data = memoryview(bytearray(n))
    at = 0
    while at < n:
        got = s.recv_into(data[at:])
        if not got:
            raise EOFError
        at += got
    return data


def _frame(s: socket.socket) -> Tuple[bytes, memoryview]:
    head = bytes(_read(s, 5))
    return head[:1], _read(s, struct.unpack("<I", head[1:])[0])


def _send(s: socket.socket, kind: bytes, body: Any) -> None:
    s.sendall(kind + struct.pack("<I", len(body)))
    s.sendall(body)
