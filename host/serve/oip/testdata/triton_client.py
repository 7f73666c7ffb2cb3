"""Asks a server as Triton's clients do: triton_client.py HTTP_ADDRESS GRPC_ADDRESS ADMIN_HTTP ADMIN_GRPC, with {"rows": images of
bytes, "columns": {name: [datatype, values]}} as JSON on stdin. Prints what each said of them: {how: {output: values}}."""
import asyncio
import json
import sys

import numpy as np
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from tritonclient.utils import InferenceServerException

HTTP, GRPC, ADMIN_HTTP, ADMIN_GRPC = sys.argv[1:]
given = json.load(sys.stdin)
rows = np.array(given["rows"], np.uint8)
kinds = {"FP64": np.float64, "INT64": np.int64, "BYTES": np.object_}
columns = {name: np.array(values, kinds[datatype]).reshape(-1, 1) for name, (datatype, values) in given["columns"].items()}
missing = np.any([column != column for column in columns.values() if column.dtype == np.float64], axis=0)[:, 0]
whole = {name: column[~missing] for name, column in columns.items()}  # without NaN, which this client writes into JSON as no JSON has it
NAMES = ["is_adversarial", "instance_score", "p_value", "predicted", "reconstructed", "corrected"]
said = {}


def keep(how, result, names=NAMES):
    said[how] = {name: np.asarray(result.as_numpy(name), float).tolist() for name in names}


def tensors(module, arrays, **how):
    out = []
    for name, array in arrays.items():
        datatype = tritonclient.utils.np_to_triton_dtype(array.dtype)
        tensor = module.InferInput(name, list(array.shape), datatype)
        tensor.set_data_from_numpy(array, **how)
        out.append(tensor)
    return out


def refused(what, call):
    try:
        call()
    except InferenceServerException as e:
        assert what in str(e), e
        return
    raise AssertionError("not refused: " + what)


def of_triton(kind, client, module):
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("digits") and client.is_model_ready("digits", "1")
    metadata = client.get_server_metadata()
    name = metadata["name"] if kind == "http" else metadata.name
    assert name == "vaeguard", metadata
    metadata = client.get_model_metadata("digits")
    inputs = metadata["inputs"] if kind == "http" else metadata.inputs
    assert len(inputs) == 1, metadata
    refused("there is no model", lambda: client.infer("nobody", tensors(module, {"x": rows})))
    refused("there is no such output", lambda: client.infer("digits", tensors(module, {"x": rows}), outputs=[module.InferRequestedOutput("logits")]))
    refused("administered", lambda: client.load_model("digits"))


with tritonclient.http.InferenceServerClient(HTTP) as client:
    of_triton("http", client, tritonclient.http)
    for name, binary in ("binary", True), ("json", False):
        for coding in None, "gzip", "deflate":
            wanted = [tritonclient.http.InferRequestedOutput(n, binary_data=binary) for n in NAMES]
            result = client.infer("digits", tensors(tritonclient.http, {"x": rows}, binary_data=binary), outputs=wanted, request_id="7", timeout=60_000_000,
                                  request_compression_algorithm=coding, response_compression_algorithm=coding)
            assert result.get_response()["id"] == "7"
            keep(f"images: tritonclient.http {name} {coding}", result)
            what, table = ("table", columns) if binary else ("whole table", whole)
            keep(f"{what}: tritonclient.http {name} {coding}", client.infer("loans", tensors(tritonclient.http, table, binary_data=binary), request_compression_algorithm=coding))
    pending = client.async_infer("digits", tensors(tritonclient.http, {"x": rows}))
    keep("images: tritonclient.http async_infer", pending.get_result())
    large = np.repeat(rows, 500, axis=0)  # an answer that is worth compressing
    result = client.infer("digits", tensors(tritonclient.http, {"x": large}), response_compression_algorithm="gzip")
    assert result.as_numpy("instance_score").shape == (len(large),)

with tritonclient.http.InferenceServerClient(ADMIN_HTTP) as client:
    assert {"name": "digits", "version": "1", "state": "READY", "reason": ""} in client.get_model_repository_index()
    client.load_model("digits")
    client.unload_model("digits")

with tritonclient.grpc.InferenceServerClient(GRPC) as client:
    of_triton("grpc", client, tritonclient.grpc)
    for coding in None, "gzip", "deflate":
        wanted = [tritonclient.grpc.InferRequestedOutput(n) for n in NAMES]
        result = client.infer("digits", tensors(tritonclient.grpc, {"x": rows}), outputs=wanted, request_id="7", compression_algorithm=coding, client_timeout=60)
        assert result.get_response().id == "7"
        keep(f"images: tritonclient.grpc {coding}", result)
        keep(f"table: tritonclient.grpc {coding}", client.infer("loans", tensors(tritonclient.grpc, columns), compression_algorithm=coding))
    large = np.repeat(rows, 30_000, axis=0)  # more than gRPC's 4 MiB
    assert client.infer("digits", tensors(tritonclient.grpc, {"x": large})).as_numpy("corrected").shape == (len(large),)

with tritonclient.grpc.InferenceServerClient(ADMIN_GRPC) as client:
    assert len(client.get_model_repository_index().models) == 4
    client.load_model("digits")
    client.unload_model("digits")


async def asynchronous():
    async with tritonclient.http.aio.InferenceServerClient(HTTP) as client:
        for name, binary in ("binary", True), ("json", False):
            keep(f"images: tritonclient.http.aio {name}", await client.infer("digits", tensors(tritonclient.http, {"x": rows}, binary_data=binary), response_compression_algorithm="deflate"))
    async with tritonclient.grpc.aio.InferenceServerClient(GRPC) as client:
        assert await client.is_model_ready("digits")
        keep("images: tritonclient.grpc.aio", await client.infer("digits", tensors(tritonclient.grpc, {"x": rows})))


asyncio.run(asynchronous())
json.dump(said, sys.stdout)
