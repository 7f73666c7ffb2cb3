"""The host's end of the protocol, for one classifier of this process."""

from __future__ import annotations

import contextlib
import json
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Tuple

import numpy.typing as npt

from ._handlers import SERVICE, handlers
from ._protobuf import Message, Schema, decode, encode
from .classifier import OUTPUT, Classifier, Floats
from .wire import (
    CONFIGURE,
    CONFIGURED,
    DESCRIBE,
    DIFF,
    DIFF_RESPONSE,
    GRADIENT,
    GRADIENT_RESPONSE,
    OUTPUTS,
    PREDICT,
    array,
    tensor,
    tensors,
)


class Client:
    """Calls a classifier over a gRPC channel. Errors are grpc.RpcError."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel

    def _call(self, name: str, request: Schema, response: Schema, m: Mapping[str, Any]) -> Message:
        call = self.channel.unary_unary(f"/{SERVICE}/{name}")
        return decode(response, call(encode(request, m)))

    def describe(self) -> Message:
        """The fields of DescribeResponse that are not zero."""
        return self._call("Describe", {}, DESCRIBE, {})

    def configure(
        self, config: Any, base_dir: str, input_shape: Sequence[int] = (), classes: int = 0, seed: int = 0
    ) -> List[Tuple[str, str]]:
        """Complaints about the config: pairs of (JSON pointer, message)."""
        m = {"config_json": json.dumps(config), "base_dir": base_dir, "input_shape": input_shape, "classes": classes, "seed": seed}
        diagnostics = self._call("Configure", CONFIGURE, CONFIGURED, m)["diagnostics"]
        return [(d.get("pointer", ""), d.get("message", "")) for d in diagnostics]

    def predict(self, x: npt.ArrayLike) -> Floats:
        """(N, input…) -> (N, classes)."""
        return self.outputs(x, ())[OUTPUT]

    def outputs(self, x: npt.ArrayLike, names: Sequence[str]) -> Dict[str, Floats]:
        """Named outputs of x; no name means OUTPUT."""
        return _arrays(self._call("Predict", PREDICT, OUTPUTS, {"x": tensor(x), "outputs": names}))

    def gradient(self, x: npt.ArrayLike, cotangents: Mapping[str, npt.ArrayLike]) -> Floats:
        """Cotangents of named outputs, pulled back to x."""
        m = {"x": tensor(x), "cotangents": tensors(cotangents)}
        return array("dx", self._call("Gradient", GRADIENT, GRADIENT_RESPONSE, m)["dx"])

    def differentiate(self, x: npt.ArrayLike, cotangents: Mapping[str, npt.ArrayLike]) -> Tuple[Dict[str, Floats], Floats]:
        """One forward and one backward step: (outputs, dx)."""
        steps: List[Message] = [
            {"forward": {"x": tensor(x), "outputs": sorted(cotangents)}},
            {"backward": {"cotangents": tensors(cotangents)}},
        ]
        call = self.channel.stream_stream(f"/{SERVICE}/Differentiate")
        got = [decode(DIFF_RESPONSE, b) for b in call(encode(DIFF, s) for s in steps)]
        return _arrays(got[0]["outputs"]), array("dx", got[1]["dx"])


def _arrays(m: Message) -> Dict[str, Floats]:
    return {e["key"]: array(e["key"], e["value"]) for e in m["outputs"]}


@contextlib.contextmanager
def connect(classifier: Classifier) -> Iterator[Client]:
    """A Client of classifier over a connection of its own, on the loopback address."""
    from concurrent import futures

    import grpc

    limits = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8), options=limits)
    server.add_generic_rpc_handlers((handlers(classifier),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=[*limits, ("grpc.enable_http_proxy", 0)]) as channel:
            yield Client(channel)
    finally:
        server.stop(None)
