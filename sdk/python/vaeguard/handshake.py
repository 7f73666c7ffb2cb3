"""A plugin's handshake with its host: standard output, the port, the certificate."""

from __future__ import annotations

import base64
import os
import sys
from typing import Any, Callable, Optional, Tuple

from ._certificate import certificate
from .classifier import Classifier

COOKIE = ("VAEGUARD_PLUGIN", "classifier")  # go-plugin's magic cookie: a host started this program

instead: Optional[Callable[[Classifier], None]] = None
"""What serve does with the classifier instead: python -m vaeguard.check sets it."""

descriptor: Optional[int] = None  # the descriptor that the host reads the handshake from, once it is claimed


def claim_stdout() -> None:
    """Sends to the host's log what this process and its children print from here on.

    Standard output belongs to the handshake with the host. serve calls this; a program that prints much before it
    serves, or whose libraries print past Python's sys.stdout while they load, calls it first. Does nothing in a
    program that no host started.
    """
    global descriptor
    if os.environ.get(COOKIE[0]) != COOKIE[1]:
        return
    del os.environ[COOKIE[0]]  # not inherited further
    descriptor = os.dup(1)
    os.dup2(2, 1)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=True)  # what was printed before goes to the log too


def listen(server: Any, folder: str) -> str:
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
