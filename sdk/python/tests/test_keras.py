import unittest

import numpy as np

try:
    import tensorflow as tf

    import vaeguard.keras
except ImportError as e:
    raise unittest.SkipTest(str(e)) from e

from differences import gradient_error

import vaeguard.check

L = tf.keras.layers


def net(*last):
    tf.keras.utils.set_random_seed(0)
    return tf.keras.Sequential(
        [
            L.Input((8, 8, 3)),
            L.Conv2D(4, 3, strides=2, activation="tanh", name="conv"),
            L.BatchNormalization(),
            L.Dropout(0.5),
            L.Flatten(name="flat"),
            *last,
        ]
    )


class Keras(unittest.TestCase):
    x = np.random.RandomState(0).rand(4, 8, 8, 3).astype(np.float32)

    def test_logits_are_taken_from_under_a_softmax(self):
        for name, last in {
            "dense": [L.Dense(5, activation="softmax")],
            "layer": [L.Dense(5), L.Softmax()],
            "activation": [L.Dense(5), L.Activation("softmax")],
            "no bias": [L.Dense(5, activation="softmax", use_bias=False)],
            "tf.nn": [L.Dense(5, activation=tf.nn.softmax)],
        }.items():
            with self.subTest(name):
                m = net(*last)
                c = vaeguard.keras.Keras(m)
                self.assertEqual((c.output, c.num_classes, c.input_shape, c.layout), ("logits", 5, (8, 8, 3), "nhwc"))
                e = np.exp(c.predict(self.x))
                np.testing.assert_allclose(e / e.sum(1, keepdims=True), m(self.x, training=False), atol=1e-5)
                self.assertLess(gradient_error(c, self.x, step=1e-2), 1e-2)

    def test_other_ends(self):
        c = vaeguard.keras.Keras(net(L.Dense(5)))
        self.assertEqual(c.output, "logits")
        for activation, output in (("relu", "logits"), ("tanh", "logits"), ("sigmoid", "probabilities")):
            c = vaeguard.keras.Keras(net(L.Dense(5, activation=activation)))
            self.assertEqual(c.output, output, activation)
        c = vaeguard.keras.Keras(net(L.Dense(5, activation="softmax")), output="probabilities")
        self.assertEqual(c.output, "probabilities")
        np.testing.assert_allclose(c.predict(self.x).sum(1), 1, atol=1e-5)
        with self.assertRaises(ValueError):
            vaeguard.keras.Keras(net(L.Dense(5)), output="probabilities")

    def test_over_the_wire(self):
        c = vaeguard.keras.Keras(net(L.Dense(5, activation="softmax")), hidden=["conv", "flat"], lo=0, hi=1)
        self.assertEqual(c.hidden, {"conv": (3, 3, 4), "flat": (36,)})
        with vaeguard.check.connect(c) as client:
            self.assertEqual(client.configure({}, ""), [])
            found = vaeguard.check.run(client)
            self.assertEqual([f for f in found if f[0] == "fail"], [])
            self.assertEqual({f[1] for f in found}, {"info", "probabilities", "repeat", "batch", "gradient", "differentiate", "hidden"})


if __name__ == "__main__":
    unittest.main()
