"""Serves the Keras network whose file is the argument: inputs are bytes, 0 to 255."""

import sys

import keras

import vaeguard.keras

vaeguard.keras.serve(keras.models.load_model(sys.argv[1], compile=False), lo=0, hi=255)
