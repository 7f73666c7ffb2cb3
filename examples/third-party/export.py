"""Writes a Keras network as ONNX: export.py MODEL.h5 MODEL.onnx. Needs tensorflow and tf2onnx."""

import sys

import keras
import numpy as np

model = keras.models.load_model(sys.argv[1], compile=False)
model(np.zeros((1, *model.input_shape[1:]), "float32"))  # Keras exports what was called once
model.export(sys.argv[2], format="onnx", verbose=False)
