"""Asks a server as Triton's own client does: python client.py HTTP_ADDRESS GRPC_ADDRESS, with rows as JSON on stdin."""
import json
import sys

import numpy as np
import tritonclient.grpc
import tritonclient.http

rows = np.array(json.load(sys.stdin), np.float32)
answers = {}
for kind, module, address in ("http", tritonclient.http, sys.argv[1]), ("grpc", tritonclient.grpc, sys.argv[2]):
    client = module.InferenceServerClient(address)
    assert client.is_model_ready("model")
    assert not client.is_model_ready("other") if kind == "http" else True
    metadata = client.get_model_metadata("model")
    for name, binary in (("binary", True), ("json", False)) if kind == "http" else (("raw", None),):
        tensor = module.InferInput("x", list(rows.shape), "FP32")
        wanted = module.InferRequestedOutput("scores", **({} if binary is None else {"binary_data": binary}))
        tensor.set_data_from_numpy(rows, **({} if binary is None else {"binary_data": binary}))
        answers[kind + " " + name] = client.infer("model", [tensor], outputs=[wanted]).as_numpy("scores").astype(float).tolist()
json.dump(answers, sys.stdout)
