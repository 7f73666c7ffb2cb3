#!/usr/bin/python3
"""Writes the models of this folder: those of the folder above, made whole
numbers by ONNX Runtime's quantiser, and NAME.bin, little-endian float32: 4
inputs and what ONNX Runtime answers, a row at a time and without optimising.

    pip install onnx==1.23.2 onnxruntime==1.32.0 && python3 models.py
"""
import pathlib
import tempfile

import numpy as np
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

HERE = pathlib.Path(__file__).parent
OPERATORS = {"quant_format": QuantFormat.QOperator, "per_channel": True, "activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
PAIRS = {"quant_format": QuantFormat.QDQ, "per_channel": True, "activation_type": QuantType.QInt8, "weight_type": QuantType.QInt8}
MODELS = {  # name: (model, shape, how; None: dynamically)
    "residual": ("residual", (1, 12, 12), OPERATORS),
    "dense": ("dense", (3, 8, 8), OPERATORS),
    "depthwise": ("depthwise", (3, 13, 11), OPERATORS),
    "attention": ("attention", (1, 12, 12), OPERATORS),
    "decoder": ("decoder", (2, 8, 8), OPERATORS),
    "cnn_pairs": ("cnn", (1, 14, 14), PAIRS),
    "cnn_dynamic": ("cnn", (1, 14, 14), None),
    "mlp_dynamic": ("mlp", (1, 6, 6), None),
}


class Rows(CalibrationDataReader):
    def __init__(self, x):
        self.rest = iter([{"x": x[i : i + 4]} for i in range(0, len(x), 4)])

    def get_next(self):
        return next(self.rest, None)


for name, (source, shape, how) in MODELS.items():
    r = np.random.default_rng(5)
    x = r.random((4, *shape)).astype("<f4")
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder, "q.onnx")
        if how is None:
            quantize_dynamic(HERE.parent / f"{source}.onnx", out)
        else:
            quantize_static(HERE.parent / f"{source}.onnx", out, Rows(r.random((32, *shape)).astype("f4")), **how)
        data = out.read_bytes()
    o = onnxruntime.SessionOptions()
    o.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(data, o)
    y = np.concatenate([session.run(None, {"x": x[i : i + 1]})[0] for i in range(4)])
    (HERE / f"{name}.onnx").write_bytes(data)
    (HERE / f"{name}.bin").write_bytes(x.tobytes() + y.astype("<f4").tobytes())
