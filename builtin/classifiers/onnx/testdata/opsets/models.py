#!/usr/bin/python3
"""Writes NN.onnx, one model per opset, of the operators whose attributes became
inputs or whose axes changed, and NN.bin, little-endian float32: 3 images of
2×6×6 and what ONNX Runtime answers.

    pip install onnx==1.23.2 onnxruntime==1.32.0 && python3 models.py
"""
import pathlib

import numpy as np
import onnxruntime
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

HERE = pathlib.Path(__file__).parent
R = np.random.default_rng(7)
WEIGHTS = {"w": R.normal(size=(4, 2, 3, 3)), "scale": R.uniform(0.5, 2, 4), "bias": R.normal(size=4), "mean": R.normal(size=4), "var": R.uniform(0.5, 2, 4),
           "slope": R.uniform(0.1, 0.4, (4, 1, 1)), "g": R.normal(size=(24, 5)), "b": R.normal(size=5)}
X = R.normal(size=(3, 2, 6, 6)).astype("<f4")


def model(v):
    nodes, consts = [], {k: a.astype("f4") for k, a in WEIGHTS.items()}

    def op(name, x, y, inputs=(), **attributes):
        """Adds a node; inputs are weights by name, or arrays."""
        names = []
        for a in inputs:
            if a is None or isinstance(a, str):
                names.append(a or "")
                continue
            names.append(f"c{len(consts)}")
            consts[names[-1]] = a
        nodes.append(h.make_node(name, [x, *names], y if isinstance(y, list) else [y], **attributes))

    def ints(*a):
        return np.array(a, np.int64)

    op("Conv", "x", "conv", ["w"], pads=[1, 1, 1, 1])
    op("BatchNormalization", "conv", "norm", ["scale", "bias", "mean", "var"])
    op("PRelu", "norm", "act", ["slope"])
    if v < 10:  # a scale for each axis: attribute, input, Resize, Resize with a region
        op("Upsample", "act", "up", [] if v < 9 else [np.array([1, 1, 2, 1], "f4")], **({"scales": [1.0, 1, 2, 1]} if v < 9 else {}))
    elif v == 10:
        op("Resize", "act", "up", [np.array([1, 1, 2, 1], "f4")])
    else:
        op("Resize", "act", "up", [np.zeros(0, "f4") if v < 13 else None, np.array([1, 1, 2, 1], "f4")], coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    op("AveragePool", "up", "pool", kernel_shape=[2, 1], strides=[2, 1])
    if v < 11:
        op("Clip", "pool", "clip", min=-0.8, max=1.5)
        op("Pad", "clip", "pad", pads=[0, 0, 0, 1, 0, 0, 0, 0], value=0.5)
    else:
        op("Clip", "pool", "clip", [np.float32(-0.8), np.float32(1.5)])
        op("Pad", "clip", "pad", [ints(1, 0), np.float32(0.5), ints(3)] if v >= 18 else [ints(0, 0, 0, 1, 0, 0, 0, 0), np.float32(0.5)])
    if v < 10:
        op("Slice", "pad", "cut", axes=[2, 3], starts=[0, 1], ends=[6, 7])
    else:
        op("Slice", "pad", "cut", [ints(0, 1), ints(6, 7), ints(2, 3)])
    op("Dropout", "cut", "drop", [np.float32(0.4), np.bool_(False)] if v >= 12 else [], **({} if v >= 12 else {"ratio": 0.4}))
    old = v < 13
    op("Unsqueeze", "drop", "wide", [] if old else [ints(0)], **({"axes": [0]} if old else {}))
    op("Squeeze", "wide", "thin", [] if old else [ints(0)], **({"axes": [0]} if old else {}))
    parts = {"split": [1, 3]} if old else {}
    op("Split", "thin", ["one", "three"], [] if old else [ints(1, 3)], axis=1, **parts)
    op("ReduceSum", "one", "sum", [] if old else [ints(1)], keepdims=1, **({"axes": [1]} if old else {}))
    axes = {"axes": [1]} if v < 18 else {}
    op("ReduceMax", "three", "max", [ints(1)] if v >= 18 else [], keepdims=1, **axes)
    op("ReduceMean", "three", "average", [ints(1)] if v >= 18 else [], keepdims=1, **axes)
    nodes.append(h.make_node("Concat", ["sum", "max", "average", "average"], ["all"], axis=1))
    op("Softmax", "all", "soft", **({"axis": 3} if old else {}))  # over the last axis
    op("MaxPool", "soft", "small", kernel_shape=[1, 6])
    op("Flatten", "small", "flat")
    op("Gemm", "flat", "y", ["g", "b"])
    graph = h.make_graph(nodes, f"opset{v}", [h.make_tensor_value_info("x", T.FLOAT, ["n", 2, 6, 6])], [h.make_tensor_value_info("y", T.FLOAT, ["n", 5])],
                         [nh.from_array(np.asarray(a), k) for k, a in consts.items()])
    return h.make_model(graph, opset_imports=[h.make_opsetid("", v)], ir_version=4 if v < 13 else 8)


for v in range(7, 25):
    data = model(v).SerializeToString()
    y = onnxruntime.InferenceSession(data).run(None, {"x": X})[0]
    (HERE / f"{v:02}.onnx").write_bytes(data)
    (HERE / f"{v:02}.bin").write_bytes(X.tobytes() + y.astype("<f4").tobytes())
