"""A plugin's process: standard output, go-plugin's handshake, the death of the host, the end."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import sys
import tempfile
import threading
from typing import Any, Callable, Iterator, NoReturn, Optional, Tuple

from ._certificate import certificate
from ._classifier import Classifier
from ._handlers import handlers

COOKIE = ("VAEGUARD_PLUGIN", "classifier")  # go-plugin's magic cookie: a host started this program
STREAMS = 1024  # calls and open streams at once; each holds a thread, made as needed

instead: Optional[Callable[[Classifier], None]] = None
"""What serve does with the classifier instead: python -m vaeguard.check sets it."""

_handshake: Optional[int] = None  # the descriptor that the host reads the handshake from, once it is claimed


def claim_stdout() -> None:
    """Sends to the host's log what this process and its children print from here on.

    Standard output belongs to the handshake with the host. serve calls this; a program that prints much before it
    serves, or whose libraries print past Python's sys.stdout while they load, calls it first. Does nothing in a
    program that no host started.
    """
    global _handshake
    if os.environ.get(COOKIE[0]) != COOKIE[1]:
        return
    del os.environ[COOKIE[0]]  # not inherited further
    _handshake = os.dup(1)
    os.dup2(2, 1)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=True)  # what was printed before goes to the log too


def serve(classifier: Classifier) -> NoReturn:
    """The whole main of a plugin: answers the host's calls until the host is done.

    Ends the process, with status 1 and a hint if no host started it. What is printed from here on, also by the
    program's children, goes to the host's log.
    """
    if instead:
        instead(classifier)
    claim_stdout()
    if _handshake is None:
        hint = "Name it in a spec as classifier.command, or try: python -m vaeguard.check " + sys.argv[0]
        sys.exit("This program is a classifier plugin for vaeguard. " + hint)
    versions = [int(v) for v in os.environ.get("PLUGIN_PROTOCOL_VERSIONS", "1").split(",") if v.strip()]
    stop = threading.Event()
    _watch_host(stop)
    if 1 not in versions:
        sys.exit(f"vaeguard: the host speaks protocol versions {versions}, this SDK version 1")
    server = _server(classifier, stop)
    folder = tempfile.mkdtemp(prefix="vg", dir=os.environ.get("PLUGIN_UNIX_SOCKET_DIR") or None)
    line = _listen(server, folder)
    server.start()
    os.write(_handshake, (line + "\n").encode())
    os.close(_handshake)
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
            handlers(classifier),
            service("grpc.health.v1.Health", "Check", grpc.unary_unary_rpc_method_handler(serving, same, same)),
            service("plugin.GRPCController", "Shutdown", grpc.unary_unary_rpc_method_handler(shutdown, same, same)),
            service("plugin.GRPCStdio", "StreamStdio", grpc.unary_stream_rpc_method_handler(silent, same, same)),
            service("plugin.GRPCBroker", "StartStream", grpc.stream_stream_rpc_method_handler(silent, same, same)),
        )
    )
    return server


def _listen(server: Any, folder: str) -> str:
    """Opens the server's port, a socket in folder, with mutual TLS if the host asks for it. Returns the handshake."""
    network, address = "unix", os.path.join(folder, "s")
    at = "unix:" + address
    if os.name == "nt":  # Python's gRPC has no Unix sockets there
        network, at = "tcp", "127.0.0.1:0"
    client, ours = os.environ.get("PLUGIN_CLIENT_CERT", ""), ""
    if client:
        import grpc

        pair, ours = _credentials()
        port = server.add_secure_port(at, grpc.ssl_server_credentials([pair], client.encode(), require_client_auth=True))
    else:
        port = server.add_insecure_port(at)
    if network == "tcp":
        address = f"127.0.0.1:{port}"
    line = f"1|1|{network}|{address}|grpc|{ours}"
    if os.environ.get("PLUGIN_MULTIPLEX_GRPC"):
        line += "|false"
    return line


def _credentials() -> Tuple[Tuple[bytes, bytes], str]:
    """A key and its certificate, PEM, and the certificate as the handshake has it: DER in base64 without padding."""
    key, pem = certificate()
    body = b"".join(line for line in pem.splitlines() if not line.startswith(b"-----"))
    return (key, pem), base64.b64encode(base64.b64decode(body)).decode().rstrip("=")


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
