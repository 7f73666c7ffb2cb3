"""The page of alibi-detect's AdversarialVAE: what it shows runs, with the import alone another."""

import logging
import os
import tempfile
import unittest

import numpy as np
import program

try:
    import tensorflow as tf
    from tensorflow.keras.layers import Conv2D, Conv2DTranspose, Dense, Flatten, InputLayer, Reshape  # noqa: F401
except ImportError as e:
    raise unittest.SkipTest(str(e)) from e

from vaeguard.detect import AdversarialAE, load_detector, save_detector
from vaeguard.detect.nets import read

logging.disable(logging.WARNING)  # that there is no threshold yet

# The snippets of the page. It leaves out lines with brackets alone, and most of the calls' arguments.
ENCODER = """\
encoder_net = tf.keras.Sequential(
  [
      InputLayer(input_shape=(32, 32, 3)),
      Conv2D(64, 4, strides=2, padding='same', activation=tf.nn.relu),
      Conv2D(128, 4, strides=2, padding='same', activation=tf.nn.relu),
      Conv2D(512, 4, strides=2, padding='same', activation=tf.nn.relu)
  ]
)
"""
DECODER = """\
decoder_net = tf.keras.Sequential(
  [
      InputLayer(input_shape=(latent_dim,)),
      Dense(4*4*128),
      Reshape(target_shape=(4, 4, 128)),
      Conv2DTranspose(256, 4, strides=2, padding='same', activation=tf.nn.relu),
      Conv2DTranspose(64, 4, strides=2, padding='same', activation=tf.nn.relu),
      Conv2DTranspose(3, 4, strides=2, padding='same', activation='sigmoid')
  ]
)
"""
MODEL = """\
inputs = tf.keras.Input(shape=(input_dim,))
outputs = tf.keras.layers.Dense(output_dim, activation=tf.nn.softmax)(inputs)
model = tf.keras.Model(inputs=inputs, outputs=outputs)
"""
DETECTOR = """\
from alibi_detect.ad import AdversarialVAE

ad = AdversarialVAE(
    encoder_net=encoder_net,
    decoder_net=decoder_net,
    model=model,
    latent_dim=latent_dim,
    samples=10
)
"""
FIT = """\
ad.fit(
    X_train,
    epochs=1
)
"""
THRESHOLD = """\
ad.infer_threshold(
    X_train,
    threshold_perc=95
)
"""
PREDICT = """\
preds = ad.predict(
    X_train,
    return_instance_score=True
)
"""
PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), *[os.pardir] * 4, "shared", "reference", "adversarialvae.txt")


def images(n):
    return np.random.RandomState(0).rand(n, 32, 32, 3).astype(np.float32)


@program.required
class Page(unittest.TestCase):
    def run_page(self, snippets, **names):
        scope = {**globals(), **names}
        for text in snippets:
            exec(text.replace("alibi_detect.ad", "vaeguard.detect"), scope)
        self.addCleanup(scope["ad"].close)
        return scope

    def test_snippets(self):
        tf.keras.utils.set_random_seed(0)
        x = images(48)
        model = tf.keras.Sequential([tf.keras.Input((32, 32, 3)), Flatten(), Dense(10, activation=tf.nn.softmax)])
        scope = self.run_page((ENCODER, DECODER, DETECTOR, FIT, THRESHOLD, PREDICT), X_train=x, latent_dim=12, model=model)
        got = scope["preds"]
        self.assertEqual(sorted(got), ["data", "meta"])
        self.assertEqual(list(got["data"]), ["instance_score", "is_adversarial"])
        for name, dtype in (("instance_score", np.float32), ("is_adversarial", np.int64)):
            self.assertEqual((got["data"][name].dtype, got["data"][name].shape), (dtype, (48,)))
        self.assertEqual(sorted(got["meta"]), ["data_type", "detector_type", "name", "online", "version"])
        self.assertEqual(got["data"]["is_adversarial"].sum(), 3)  # above the 95th percentile of 48
        with tempfile.TemporaryDirectory() as d:
            save_detector(scope["ad"], os.path.join(d, "ad"))
            again = load_detector(os.path.join(d, "ad"), model=model)
            self.addCleanup(again.close)
            np.testing.assert_array_equal(again.predict(x)["data"]["is_adversarial"], got["data"]["is_adversarial"])

    def test_tabular_model(self):
        tf.keras.utils.set_random_seed(0)
        nets = {
            "encoder_net": tf.keras.Sequential([tf.keras.Input((6,)), Dense(8, activation="relu")]),
            "decoder_net": tf.keras.Sequential([tf.keras.Input((2,)), Dense(6)]),
        }
        x = np.random.RandomState(0).rand(64, 6).astype(np.float32)
        names = {"X_train": x, "latent_dim": 2, "input_dim": 6, "output_dim": 3, **nets}
        scope = self.run_page((MODEL, DETECTOR, FIT, THRESHOLD, PREDICT), **names)
        self.assertEqual(scope["preds"]["data"]["is_adversarial"].sum(), 4)

    @unittest.skipUnless(os.path.isfile(PAGE), "the page is not beside the repository")
    def test_the_page_says_so(self):
        code = [line.strip() for text in (ENCODER, DECODER, MODEL, DETECTOR, FIT, THRESHOLD, PREDICT) for line in text.splitlines()]
        with open(PAGE, encoding="utf-8") as f:
            page = [line.strip() for line in f]
        found = [
            line for line in page if any(word in line for word in ("(inputs", "Conv2D", "Sequential(", "InputLayer(", "Reshape(", "ad."))
        ]
        found += [line for line in page if line.startswith(("inputs =", "outputs =", "model =", "ad =", "preds ="))]
        self.assertGreater(len(found), 15)
        for line in found:
            self.assertIn(line, code)


@program.required
class KerasNets(unittest.TestCase):
    def test_the_same_numbers(self):
        tf.keras.utils.set_random_seed(1)
        keras, layers = tf.keras, tf.keras.layers
        x = np.random.RandomState(0).rand(10, 8, 8, 2).astype(np.float32)
        model = keras.Sequential([keras.Input((8, 8, 2)), Flatten(), Dense(5, activation="softmax")])
        encoder = keras.Sequential(
            [
                keras.Input((8, 8, 2)),
                layers.Conv2D(4, 3, strides=2, padding="same", activation=tf.nn.elu),
                layers.BatchNormalization(momentum=0.9),
                layers.DepthwiseConv2D(2, depth_multiplier=2, activation="swish"),
                layers.MaxPooling2D(2),
                layers.LeakyReLU(negative_slope=0.2),
                layers.Flatten(),
                layers.Dropout(0.5),
                Dense(6, use_bias=False),
                layers.LayerNormalization(),
            ]
        )
        decoder = keras.Sequential(
            [
                keras.Input((6,)),
                Dense(32, activation="gelu"),
                layers.ReLU(),
                Reshape((4, 4, 2)),
                keras.Sequential([layers.UpSampling2D(2), layers.ZeroPadding2D(((1, 0), (2, 1)))]),
                layers.Conv2D(3, (2, 4), activation="softplus"),
                layers.Conv2DTranspose(2, 3, strides=2, padding="same"),
                layers.AveragePooling2D(2),
                layers.Cropping2D(0),
                layers.Activation("tanh"),
            ]
        )
        for layer in encoder.layers:
            if "batch" in layer.name:
                layer.set_weights([w + 0.3 for w in layer.get_weights()])
        ad = AdversarialAE(encoder_net=encoder, decoder_net=decoder, model=model)
        self.addCleanup(ad.close)
        score, p, q = ad.score(x, return_predictions=True)
        want, after = model(x).numpy(), model(decoder(encoder(x))).numpy()
        np.testing.assert_allclose(p, want, atol=1e-6)
        np.testing.assert_allclose(q, after, atol=1e-5)
        np.testing.assert_allclose(score, keras.losses.KLDivergence(reduction=None)(want, after), atol=1e-5)

    def test_refusals(self):
        keras, layers = tf.keras, tf.keras.layers
        for given, want in (
            ([layers.Conv2D(2, 3, dilation_rate=2)], "dilation_rate"),
            ([layers.Conv2D(2, 3, activation="hard_sigmoid")], "hard_sigmoid"),
            ([layers.Reshape((8, 16)), layers.LSTM(3)], "LSTM, which has no counterpart"),
            ([layers.BatchNormalization(axis=1)], "normalises axis"),
            ([layers.ReLU(max_value=6)], "a limit"),
        ):
            with self.assertRaisesRegex(TypeError, "encoder_net: .*" + want):
                read(keras.Sequential([keras.Input((8, 8, 2)), *given]), (8, 8, 2), "encoder_net")


if __name__ == "__main__":
    unittest.main()
