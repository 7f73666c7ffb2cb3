"""The gRPC service of a classifier."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING, Any, Callable, Iterator, NoReturn

from ._errors import Error, kind_of
from ._fit import fit
from ._protobuf import Message, Schema, decode, encode
from ._server import Server
from .classifier import Classifier
from .wire import CONFIGURE, CONFIGURED, DESCRIBE, DIFF, DIFF_RESPONSE, FIT, FIT_EVENT, GRADIENT, GRADIENT_RESPONSE, OUTPUTS, PREDICT

if TYPE_CHECKING:
    import grpc

SERVICE = "vaeguard.classifier.v1.Classifier"
_MESSAGE = 2000  # characters of an error that are sent: headers hold 8 KiB


def handlers(classifier: Classifier) -> grpc.GenericRpcHandler:
    """The gRPC handlers of a classifier, for a server of one's own. Raises ImportError without the package grpcio."""
    try:
        import grpc
    except ImportError as e:
        raise ImportError("a plugin needs the package grpcio: pip install 'vaeguard[plugin]'") from e

    server = Server(classifier)

    def unary(f: Callable[[Message], Message], request: Schema, response: Schema) -> Any:
        def call(b: bytes, context: grpc.ServicerContext) -> bytes:
            try:
                return encode(response, f(decode(request, b)))
            except (Exception, SystemExit) as e:  # a model that calls exit ends its call alone
                _abort(context, e)

        return grpc.unary_unary_rpc_method_handler(call)  # bytes in, bytes out

    def stream(f: Callable[[Iterator[Message], Callable[[], bool]], Iterator[Message]], request: Schema, response: Schema) -> Any:
        def call(it: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            try:
                for v in f((decode(request, b) for b in it), context.is_active):
                    yield encode(response, v)
            except grpc.RpcError:
                raise
            except (Exception, SystemExit) as e:
                _abort(context, e)

        return grpc.stream_stream_rpc_method_handler(call)

    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            "Describe": unary(server.describe, {}, DESCRIBE),
            "Configure": unary(server.configure, CONFIGURE, CONFIGURED),
            "Predict": unary(server.predict, PREDICT, OUTPUTS),
            "Gradient": unary(server.gradient, GRADIENT, GRADIENT_RESPONSE),
            "Differentiate": stream(server.differentiate, DIFF, DIFF_RESPONSE),
            "Fit": stream(lambda steps, alive: fit(server, steps, alive), FIT, FIT_EVENT),
        },
    )


def _abort(context: Any, e: BaseException) -> NoReturn:
    """Ends a call with the kind and message of e, by an exception; the traceback of any but an Error goes to the host's log."""
    import grpc

    if not isinstance(e, Error):
        sys.stderr.write("".join(traceback.format_exception(type(e), e, e.__traceback__)))
        sys.stderr.flush()
    kind, text = kind_of(e)
    code = getattr(grpc.StatusCode, kind.upper(), grpc.StatusCode.INTERNAL)
    context.abort(code, text[:_MESSAGE])
    raise AssertionError("abort raises")
