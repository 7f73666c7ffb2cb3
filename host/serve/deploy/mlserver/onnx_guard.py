"""A graph that `vaeguard export` wrote, as a model of MLServer's, which has no runtime for ONNX of its own. It stands beside model-settings.json:

    {"name": "guard", "implementation": "onnx_guard.Graph", "parameters": {"uri": "./guard.onnx"}}
"""

import numpy as np
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse, MetadataTensor
from mlserver.utils import get_model_uri

DATATYPES = {"tensor(float)": "FP32", "tensor(double)": "FP64", "tensor(int64)": "INT64"}


class Graph(MLModel):
    """Inputs and outputs are the graph's, by their names; an output that is asked for alone comes alone."""

    async def load(self) -> bool:
        self.session = onnxruntime.InferenceSession(await get_model_uri(self._settings), providers=onnxruntime.get_available_providers())
        self.inputs, self.outputs = map(described, (self.session.get_inputs(), self.session.get_outputs()))
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = {i.name: np.asarray(NumpyCodec.decode_input(i), np.float32) for i in payload.inputs}
        names = [o.name for o in payload.outputs or self.outputs]
        outputs = []
        for name, array in zip(names, self.session.run(names, rows)):
            outputs.append(NumpyCodec.encode_output(name, array))
            outputs[-1].shape = list(array.shape)  # the codec makes (n, 1) of (n)
        return InferenceResponse(id=payload.id, model_name=self.name, model_version=self.version, outputs=outputs)


def described(ends):
    return [MetadataTensor(name=e.name, datatype=DATATYPES[e.type], shape=[d if isinstance(d, int) else -1 for d in e.shape]) for e in ends]
