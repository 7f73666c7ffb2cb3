"""Asks exported guards on a model server, as Triton's clients do: export_client.py HTTP_ADDRESS GRPC_ADDRESS FOLDER NAME…

FOLDER/NAME/x.npy has the rows. Prints {"NAME http": {output: values}, "NAME grpc": …}, and fails where the model describes itself
otherwise than it answers.
"""
import json
import sys

import numpy as np
import tritonclient.grpc
import tritonclient.http

NAMES = ["is_adversarial", "instance_score", "p_value", "predicted", "reconstructed", "corrected"]
http, grpc, folder, *models = sys.argv[1:]
said = {}
for kind, module, address in ("http", tritonclient.http, http), ("grpc", tritonclient.grpc, grpc):
    client = module.InferenceServerClient(address)
    for name in models:
        x = np.load(f"{folder}/{name}/x.npy")
        about = client.get_model_metadata(name, **({"as_json": True} if kind == "grpc" else {}))
        assert [t["name"] for t in about["outputs"]] == NAMES, about
        assert [int(d) for d in about["inputs"][0]["shape"]] == [-1, *x.shape[1:]], about
        json_or_raw = {"binary_data": False} if kind == "http" else {}  # MLServer has no binary tensors over REST
        rows = module.InferInput("x", list(x.shape), "FP32")
        rows.set_data_from_numpy(x, **json_or_raw)
        answer = client.infer(name, [rows], outputs=[module.InferRequestedOutput(n, **json_or_raw) for n in NAMES])
        said[f"{name} {kind}"] = {n: answer.as_numpy(n).tolist() for n in NAMES}
        one = client.infer(name, [rows], outputs=[module.InferRequestedOutput("corrected", **json_or_raw)])
        assert one.as_numpy("corrected").tolist() == said[f"{name} {kind}"]["corrected"]
        assert one.as_numpy("predicted") is None
json.dump(said, sys.stdout)
