"""Asks a server as MLServer's users do: mlserver_client.py HTTP_ADDRESS GRPC_ADDRESS FOLDER, with {"rows": images of bytes, "columns": {name:
[datatype, values]}} as JSON on stdin. Prints what each said of them: {how: {output: values}}."""
import json
import subprocess
import sys
import urllib.request

import grpc
import numpy as np
import pandas as pd
from mlserver.codecs import PandasCodec
from mlserver.codecs.numpy import NumpyCodec
from mlserver.grpc import converters, dataplane_pb2_grpc
from mlserver.types import InferenceRequest, InferenceResponse

HTTP, GRPC, FOLDER = sys.argv[1:]
given = json.load(sys.stdin)
rows = np.array(given["rows"], np.uint8)
table = pd.DataFrame({name: pd.Series(values, dtype={"FP64": "float64", "INT64": "int64", "BYTES": "object"}[datatype]) for name, (datatype, values) in given["columns"].items()})
said = {}


def keep(how, response):
    said[how] = {o.name: np.asarray(NumpyCodec.decode_output(o), float).tolist() for o in response.outputs}


images = InferenceRequest(inputs=[NumpyCodec.encode_input("x", rows)])
whole = table.dropna()  # pandas' codec makes None of NaN, which MLServer cannot send
for how, model, request in ("images", "digits", images), ("whole table", "loans", PandasCodec.encode_request(whole)):
    asked = urllib.request.Request(f"http://{HTTP}/v2/models/{model}/infer", request.model_dump_json().encode())
    with urllib.request.urlopen(asked, timeout=60) as answer:
        keep(f"{how}: mlserver codecs, REST", InferenceResponse.model_validate_json(answer.read()))

with grpc.insecure_channel(GRPC) as channel:
    stub = dataplane_pb2_grpc.GRPCInferenceServiceStub(channel)
    for how, model, request in ("images", "digits", images), ("whole table", "loans", PandasCodec.encode_request(whole)):
        for raw in False, True:
            answer = stub.ModelInfer(converters.ModelInferRequestConverter.from_types(request, model, "", use_raw=raw))
            keep(f"{how}: mlserver codecs, gRPC, raw {raw}", converters.ModelInferResponseConverter.to_types(answer))

with open(FOLDER + "/in.jsonl", "w") as f:
    for row in rows:
        f.write(InferenceRequest(inputs=[NumpyCodec.encode_input("x", row[None])]).model_dump_json() + "\n")
subprocess.run([sys.executable, "-c", "from mlserver.cli import main; main()", "infer", "-u", HTTP, "-m", "digits", "-i", FOLDER + "/in.jsonl", "-o", FOLDER + "/out.jsonl", "-s", "1", "-w", "1"],
               check=True, stdout=sys.stderr, timeout=120)
outputs = {}
with open(FOLDER + "/out.jsonl") as f:
    for line in sorted(map(json.loads, f), key=lambda answer: answer["parameters"]["batch_index"]):
        for o in line["outputs"]:
            outputs.setdefault(o["name"], []).extend(np.asarray(o["data"], float).tolist())
said["images: mlserver infer"] = outputs
json.dump(said, sys.stdout)
