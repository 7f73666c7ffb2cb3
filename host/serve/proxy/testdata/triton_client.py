"""Asks Triton through the guard as Triton's clients do: triton_client.py HTTP GRPC FRONT_HTTP FRONT_GRPC, with {"rows": …, "closed": whether the guard
refuses what it cannot judge} as JSON on stdin. Holds what is no inference, and the model's answers, to what Triton says without the guard;
prints what the guard said of the rows: {how: flags}."""
import asyncio
import http.client
import json
import sys
import time

import numpy as np
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from tritonclient.utils import InferenceServerException
from tritonclient.utils import shared_memory as shm

HTTP, GRPC, FRONT_HTTP, FRONT_GRPC = sys.argv[1:]
given = json.load(sys.stdin)
rows = np.array(given["rows"], np.float32)
closed = given["closed"]
said = {}


def pixels(module, **how):
    tensor = module.InferInput("pixels", list(rows.shape), "FP32")
    tensor.set_data_from_numpy(rows, **how)
    return tensor


def keep(how, result):
    answer = result.get_response()
    parameters = answer["parameters"] if isinstance(answer, dict) else {k: v.string_param for k, v in answer.parameters.items()}
    said[how] = parameters["vaeguard_is_adversarial"]
    assert np.array_equal(result.as_numpy("predict_proba"), want), how


def unread(how, ask):
    """What the guard cannot read passes unjudged where failures are open, and is refused by it, and not by Triton, where they are closed."""
    try:
        result = ask()
    except InferenceServerException as e:
        assert closed and "the guard" in str(e) or closed and "not judged" in str(e), (how, e)
        return None
    assert not closed, how
    return result


with tritonclient.http.InferenceServerClient(HTTP) as plain, tritonclient.http.InferenceServerClient(FRONT_HTTP) as front:
    want = plain.infer("digits", [pixels(tritonclient.http)]).as_numpy("predict_proba")
    for ask in (
        lambda c: c.is_server_live(), lambda c: c.is_server_ready(), lambda c: c.is_model_ready("digits"), lambda c: c.is_model_ready("open"),
        lambda c: c.get_server_metadata(), lambda c: c.get_model_metadata("digits"), lambda c: c.get_model_config("digits"),
        lambda c: c.get_inference_statistics("digits"), lambda c: c.get_model_repository_index(), lambda c: c.get_trace_settings(), lambda c: c.get_log_settings(),
        lambda c: c.get_system_shared_memory_status(), lambda c: c.get_cuda_shared_memory_status(),
    ):
        assert ask(front) == ask(plain)
    for binary in True, False:
        for coding in None, "gzip", "deflate":
            wanted = [tritonclient.http.InferRequestedOutput(n, binary_data=binary) for n in ("predict_proba", "predict")]
            keep(f"http {binary} {coding}", front.infer("digits", [pixels(tritonclient.http, binary_data=binary)], outputs=wanted, model_version="1", request_id="9",
                                                        request_compression_algorithm=coding, response_compression_algorithm=coding))
    keep("http async_infer", front.async_infer("digits", [pixels(tritonclient.http)]).get_result())
    wanted = [tritonclient.http.InferRequestedOutput("predict_proba", class_count=2, binary_data=binary)]
    result = front.infer("digits", [pixels(tritonclient.http)], outputs=wanted)  # Triton's texts "0.98:7:digit 7"
    said["classification"] = result.get_response()["parameters"]["vaeguard_is_adversarial"]
    assert np.array_equal(result.as_numpy("predict_proba"), plain.infer("digits", [pixels(tritonclient.http)], outputs=wanted).as_numpy("predict_proba"))
    front.load_model("open")
    assert plain.is_model_ready("open")
    assert np.allclose(front.infer("open", [pixels(tritonclient.http)]).as_numpy("predict_proba"), want)  # it is not guarded
    front.unload_model("open")

    # Shared memory: what is registered through the guard is Triton's; rows or answers in it are not seen.
    size = rows.nbytes
    region = shm.create_shared_memory_region("rows", "/vaeguard-rows", size)
    answer = shm.create_shared_memory_region("answer", "/vaeguard-answer", want.nbytes)
    try:
        shm.set_shared_memory_region(region, [rows])
        front.register_system_shared_memory("rows", "/vaeguard-rows", size)
        front.register_system_shared_memory("answer", "/vaeguard-answer", want.nbytes)
        assert len(plain.get_system_shared_memory_status()) == 2
        tensor = tritonclient.http.InferInput("pixels", list(rows.shape), "FP32")
        tensor.set_shared_memory("rows", size)
        result = unread("rows in shared memory", lambda: front.infer("digits", [tensor]))
        assert closed or np.array_equal(result.as_numpy("predict_proba"), want)
        output = tritonclient.http.InferRequestedOutput("predict_proba")
        output.set_shared_memory("answer", want.nbytes)
        shm.set_shared_memory_region(answer, [np.zeros_like(want)])
        unread("an answer in shared memory", lambda: front.infer("digits", [pixels(tritonclient.http)], outputs=[output]))
        got = shm.get_contents_as_numpy(answer, want.dtype, want.shape)
        assert np.array_equal(got, np.zeros_like(want) if closed else want), got
        output = tritonclient.grpc.InferRequestedOutput("predict_proba")
        output.set_shared_memory("answer", want.nbytes)
        tensor = tritonclient.grpc.InferInput("pixels", list(rows.shape), "FP32")
        tensor.set_shared_memory("rows", size)
        shm.set_shared_memory_region(answer, [np.zeros_like(want)])
        with tritonclient.grpc.InferenceServerClient(FRONT_GRPC) as calls:
            unread("rows in shared memory, gRPC", lambda: calls.infer("digits", [tensor]))
            unread("an answer in shared memory, gRPC", lambda: calls.infer("digits", [pixels(tritonclient.grpc)], outputs=[output]))
        got = shm.get_contents_as_numpy(answer, want.dtype, want.shape)
        assert np.array_equal(got, np.zeros_like(want) if closed else want), got
        for last in range(99, -1, -1):  # Triton lets go of a region a moment after its answer
            try:
                front.unregister_system_shared_memory()
                break
            except InferenceServerException:
                if not last:
                    raise
                time.sleep(0.1)
        assert plain.get_system_shared_memory_status() == []
    finally:
        shm.destroy_shared_memory_region(region)
        shm.destroy_shared_memory_region(answer)

# Rows here, and others in shared memory, which are what Triton takes.
connection = http.client.HTTPConnection(FRONT_HTTP)
both = {"name": "pixels", "datatype": "FP32", "shape": [1, 64], "data": [0] * 64, "parameters": {"shared_memory_region": "none", "shared_memory_byte_size": 256}}
connection.request("POST", "/v2/models/digits/infer", json.dumps({"inputs": [both]}))
answered = connection.getresponse()
text = answered.read()
assert answered.status == 400 and (b"the guard" in text) == closed, (answered.status, text)

# A raw request: the body is the rows, and no JSON says so.
connection.request("POST", "/v2/models/digits/infer", rows[:1].tobytes(), {"Inference-Header-Content-Length": "0", "Content-Type": "application/octet-stream"})
answered = connection.getresponse()
text = answered.read()
assert answered.status == (400 if closed else 200) and (closed or answered.headers["X-Vaeguard-Verdict"] == "unjudged: unreadable"), (answered.status, text, answered.headers.items())
connection.request("POST", "/v2/models/digits/generate", json.dumps({"pixels": rows[0].tolist()}))
answered = connection.getresponse()
text = answered.read()
assert answered.status == (403 if closed else 200), (answered.status, text)
connection.close()

with tritonclient.grpc.InferenceServerClient(GRPC) as plain, tritonclient.grpc.InferenceServerClient(FRONT_GRPC) as front:
    for ask in (
        lambda c: c.is_server_live(), lambda c: c.is_server_ready(), lambda c: c.is_model_ready("digits"), lambda c: c.get_server_metadata(),
        lambda c: c.get_model_metadata("digits"), lambda c: c.get_model_config("digits"), lambda c: c.get_inference_statistics("digits"),
        lambda c: c.get_model_repository_index(), lambda c: c.get_trace_settings(), lambda c: c.get_log_settings(), lambda c: c.get_system_shared_memory_status(),
    ):
        assert ask(front) == ask(plain)
    for coding in None, "gzip", "deflate":
        keep(f"grpc {coding}", front.infer("digits", [pixels(tritonclient.grpc)], compression_algorithm=coding))
    got = []
    front.start_stream(lambda result, error: got.append(error or result))
    try:
        front.async_stream_infer("digits", [pixels(tritonclient.grpc)])
    except InferenceServerException:
        assert closed  # it was refused before the client sent anything
    front.stop_stream()
    assert len(got) == 1 and isinstance(got[0], InferenceServerException) == closed, got
    assert closed or np.array_equal(got[0].as_numpy("predict_proba"), want)


async def asynchronous():
    async with tritonclient.http.aio.InferenceServerClient(FRONT_HTTP) as client:
        for binary in True, False:
            keep(f"http.aio {binary}", await client.infer("digits", [pixels(tritonclient.http, binary_data=binary)]))
    async with tritonclient.grpc.aio.InferenceServerClient(FRONT_GRPC) as client:
        assert await client.is_model_ready("digits")
        keep("grpc.aio", await client.infer("digits", [pixels(tritonclient.grpc)]))


asyncio.run(asynchronous())
json.dump(said, sys.stdout)
