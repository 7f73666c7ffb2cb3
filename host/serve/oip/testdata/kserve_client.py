"""Asks a server as KServe's clients do: kserve_client.py HTTP_ADDRESS GRPC_ADDRESS, with {"rows": images of bytes, "columns": {name: [datatype,
values]}} as JSON on stdin. Prints what each said of them: {how: {output: values}}. It is apart from Triton's clients, since one process cannot
hold both: they register the same names of messages."""
import asyncio
import json
import sys

import kserve
import numpy as np

HTTP, GRPC = sys.argv[1:]
given = json.load(sys.stdin)
rows = np.array(given["rows"], np.uint8)
kinds = {"FP64": np.float64, "INT64": np.int64, "BYTES": np.object_}
columns = {name: (datatype, np.array(values, kinds[datatype]).reshape(-1, 1)) for name, (datatype, values) in given["columns"].items()}
images = {"x": ("UINT8", rows)}
NAMES = ["is_adversarial", "instance_score", "p_value", "predicted", "reconstructed", "corrected"]
said = {}


def keep(how, response):
    assert response.id == "7" and response.model_name in ("digits", "loans"), response
    outputs = {o.name: o.as_numpy() for o in response.outputs}
    said[how] = {name: np.asarray(outputs[name], float).tolist() for name in NAMES}


def request(arrays, name, binary):
    inputs = []
    for n, (datatype, array) in arrays.items():
        tensor = kserve.InferInput(n, list(array.shape), datatype)
        tensor.set_data_from_numpy(array, binary_data=binary)
        inputs.append(tensor)
    return kserve.InferRequest(name, inputs, request_id="7")


async def main():
    rest = kserve.InferenceRESTClient(kserve.inference_client.RESTConfig(protocol="v2"))
    url = "http://" + HTTP
    assert await rest.is_server_ready(url) and await rest.is_server_live(url) and await rest.is_model_ready(url, "digits")
    assert not await rest.is_model_ready(url, "nobody")
    for name, binary in ("binary", True), ("json", False):
        keep(f"images: kserve REST {name}", (await rest.infer(url, request(images, "digits", binary), model_name="digits")))
        keep(f"table: kserve REST {name}", (await rest.infer(url, request(columns, "loans", binary), model_name="loans")))
    await rest.close()

    async with kserve.InferenceGRPCClient(GRPC) as client:
        assert await client.is_server_ready() and await client.is_server_live() and await client.is_model_ready("digits")
        for name, binary in ("raw", True), ("contents", False):
            keep(f"images: kserve gRPC {name}", (await client.infer(request(images, "digits", binary))))


asyncio.run(main())
json.dump(said, sys.stdout)
