"""A model of scikit-learn behind Triton's Python backend."""
import os

import joblib
import numpy as np
import triton_python_backend_utils as triton


class TritonPythonModel:
    def initialize(self, args):
        self.model = joblib.load(os.path.join(args["model_repository"], "model.joblib"))

    def execute(self, requests):
        responses = []
        for request in requests:
            p = self.model.predict_proba(triton.get_input_tensor_by_name(request, "pixels").as_numpy()).astype(np.float32)
            outputs = [triton.Tensor("predict_proba", p), triton.Tensor("predict", p.argmax(1).astype(np.int64)[:, None])]
            responses.append(triton.InferenceResponse(outputs))
        return responses
