"""Writes keras.json: steps of Keras 3's optimisers, and its schedules.

    pip install keras jax
    KERAS_BACKEND=jax python keras_reference.py > keras.json

A weight starts at p and meets the gradients g one after another; after is its
value after each step. A schedule has its rate at some steps. TestKeras compares.
"""

import json
import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from keras import optimizers as ko

rng = np.random.default_rng(3)
OPTIMIZERS = [
    ("adam", ko.Adam, {}),
    ("adam", ko.Adam, {"learning_rate": 0.1, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 0.01}),
    ("adamw", ko.AdamW, {}),
    ("adamw", ko.AdamW, {"learning_rate": 0.05, "weight_decay": 0.1}),
    ("sgd", ko.SGD, {}),
    ("sgd", ko.SGD, {"learning_rate": 0.1, "momentum": 0.9}),
    ("sgd", ko.SGD, {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}),
    ("rmsprop", ko.RMSprop, {}),
    ("rmsprop", ko.RMSprop, {"learning_rate": 0.02, "rho": 0.8, "momentum": 0.7}),
]
S = ko.schedules
BASE = {"initial_learning_rate": 0.2}
SCHEDULES = [
    ("exponential_decay", S.ExponentialDecay, dict(BASE, decay_steps=7, decay_rate=0.5)),
    ("exponential_decay", S.ExponentialDecay, dict(BASE, decay_steps=7, decay_rate=0.5, staircase=True)),
    ("cosine_decay", S.CosineDecay, dict(BASE, decay_steps=15, alpha=0.1)),
    ("cosine_decay", S.CosineDecay, {"initial_learning_rate": 0.01, "decay_steps": 15, "warmup_target": 0.2, "warmup_steps": 5}),
    ("piecewise_constant_decay", S.PiecewiseConstantDecay, {"boundaries": [3, 8], "values": [0.3, 0.2, 0.1]}),
    ("polynomial_decay", S.PolynomialDecay, dict(BASE, decay_steps=15, end_learning_rate=0.01, power=2.0)),
    ("polynomial_decay", S.PolynomialDecay, dict(BASE, decay_steps=6, end_learning_rate=0.01, cycle=True)),
    ("inverse_time_decay", S.InverseTimeDecay, dict(BASE, decay_steps=4, decay_rate=0.5)),
]


def numbers(a):
    return [float(f"{v:.8g}") for v in np.asarray(a, np.float32).ravel()]


optimizers = []
for name, make, options in OPTIMIZERS:
    p = keras.Variable(rng.standard_normal(6).astype(np.float32))
    o = make(**options)
    o.build([p])
    row = {"optimizer": {name: options}, "p": numbers(p.value), "g": [], "after": []}
    for _ in range(5):
        g = rng.standard_normal(6).astype(np.float32)
        o.apply([g])
        row["g"].append(numbers(g))
        row["after"].append(numbers(p.value))
    optimizers.append(json.dumps(row))
schedules = []
for name, make, options in SCHEDULES:
    s = make(**options)
    rates = [float(s(step)) for step in range(20)]
    schedules.append(json.dumps({"schedule": {name: options}, "rates": [float(f"{v:.8g}") for v in rates]}))
print('{"keras": "' + keras.__version__ + '", "optimizers": [\n' + ",\n".join(optimizers)
      + '\n], "schedules": [\n' + ",\n".join(schedules) + "\n]}")
