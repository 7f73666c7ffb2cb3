"""A plugin's process: the server, the death of the host, the end."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import threading
from typing import Any, Iterator, NoReturn

from . import handshake
from ._handlers import handlers
from .classifier import Classifier

STREAMS = 1024  # calls and open streams at once; each holds a thread, made as needed


def serve(classifier: Classifier) -> NoReturn:
    """The whole main of a plugin: answers the host's calls until the host is done.

    Ends the process, with status 1 and a hint if no host started it. What is printed from here on, also by the
    program's children, goes to the host's log.
    """
    if handshake.instead:
        handshake.instead(classifier)
    handshake.claim_stdout()
    if handshake.descriptor is None:
        hint = "Name it in a spec as classifier.command, or try: python -m vaeguard.check " + sys.argv[0]
        sys.exit("This program is a classifier plugin for vaeguard. " + hint)
    versions = [int(v) for v in os.environ.get("PLUGIN_PROTOCOL_VERSIONS", "1").split(",") if v.strip()]
    stop = threading.Event()
    _watch_host(stop)
    if 1 not in versions:
        sys.exit(f"vaeguard: the host speaks protocol versions {versions}, this SDK version 1")
    server = _server(classifier, stop)
    folder = tempfile.mkdtemp(prefix="vg", dir=os.environ.get("PLUGIN_UNIX_SOCKET_DIR") or None)
    line = handshake.listen(server, folder)
    server.start()
    os.write(handshake.descriptor, (line + "\n").encode())
    os.close(handshake.descriptor)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the host's
    try:
        stop.wait()
    finally:
        server.stop(0.2).wait(1)
        shutil.rmtree(folder, ignore_errors=True)
        sys.stderr.flush()
        os._exit(0)  # whatever threads the model left running


def _server(classifier: Classifier, stop: threading.Event) -> Any:
    """The gRPC server of a classifier with go-plugin's own services. A Shutdown sets stop."""
    from concurrent import futures

    calls = handlers(classifier)  # which says what is missing without grpcio
    import grpc

    def same(b: bytes) -> bytes:
        return b

    def serving(_: bytes, __: Any) -> bytes:
        return b"\x08\x01"  # HealthCheckResponse{status: SERVING}

    def shutdown(_: bytes, __: Any) -> bytes:
        stop.set()
        return b""

    def silent(_: Any, context: Any) -> Iterator[bytes]:  # a stream that says nothing until the end
        while context.is_active() and not stop.wait(0.2):
            pass
        yield from ()

    def service(name: str, method: str, handler: Any) -> Any:
        return grpc.method_handlers_generic_handler(name, {method: handler})

    unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=STREAMS), options=unlimited)
    server.add_generic_rpc_handlers(
        (
            calls,
            service("grpc.health.v1.Health", "Check", grpc.unary_unary_rpc_method_handler(serving, same, same)),
            service("plugin.GRPCController", "Shutdown", grpc.unary_unary_rpc_method_handler(shutdown, same, same)),
            service("plugin.GRPCStdio", "StreamStdio", grpc.unary_stream_rpc_method_handler(silent, same, same)),
            service("plugin.GRPCBroker", "StartStream", grpc.stream_stream_rpc_method_handler(silent, same, same)),
        )
    )
    return server


def _watch_host(stop: threading.Event) -> None:
    """Ends the process when the host dies: stdin is a pipe that the host holds, and the parent changes."""

    def end() -> None:
        if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)  # and what the model started
        os._exit(0)

    def stdin() -> None:
        while os.read(0, 4096):
            pass
        end()

    def parent(pid: int) -> None:
        while not stop.wait(1):
            if os.getppid() != pid:
                end()

    if os.environ.pop("VAEGUARD_DEATH_WATCH", "") == "stdin":
        threading.Thread(target=stdin, daemon=True).start()
    threading.Thread(target=parent, args=(os.getppid(),), daemon=True).start()
