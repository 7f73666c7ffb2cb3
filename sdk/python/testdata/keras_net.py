"""A small Keras network that ends in softmax."""

import tensorflow as tf

import vaeguard.keras

tf.keras.utils.set_random_seed(1)
L = tf.keras.layers
vaeguard.keras.serve(
    tf.keras.Sequential(
        [
            L.Input((8, 8, 2)),
            L.Conv2D(4, 3, activation="relu", name="conv"),
            L.MaxPooling2D(),
            L.Flatten(),
            L.Dense(5, activation="softmax"),
        ]
    ),
    lo=0,
    hi=1,
    hidden=["conv"],
    name="keras-net",
)
