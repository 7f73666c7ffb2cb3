import json
import logging
import os
import pickle
import shutil
import tempfile
import unittest
import zipfile

import numpy as np
import program

try:
    import tensorflow as tf
except ImportError as e:
    raise unittest.SkipTest(str(e)) from e

import vaeguard

logging.disable(logging.WARNING)
L = tf.keras.layers


def saved(folder, name, state, nets):
    """A folder as alibi-detect's save_detector writes it."""
    os.makedirs(os.path.join(folder, "model"))
    meta = {"name": name, "detector_type": "adversarial", "data_type": "tabular", "online": False, "version": "0.11.4"}
    for file, what in (("meta", meta), (name, state)):
        with open(os.path.join(folder, file + ".dill"), "wb") as f:
            pickle.dump(what, f)
    for file, net in nets.items():
        net.save(os.path.join(folder, "model", file + ".h5"))


class Execute:
    def __reduce__(self):
        return os.system, ("true",)


@program.required
class FromAlibi(unittest.TestCase):
    def setUp(self):
        d = tempfile.TemporaryDirectory()
        self.addCleanup(d.cleanup)
        self.folder = os.path.join(d.name, "ad")
        tf.keras.utils.set_random_seed(0)
        self.encoder = tf.keras.Sequential([tf.keras.Input((6,)), L.Dense(4, activation="relu"), L.Dense(3)])
        self.decoder = tf.keras.Sequential([tf.keras.Input((3,)), L.Dense(6, activation="sigmoid")])
        self.model = tf.keras.Sequential([tf.keras.Input((6,)), L.Dense(4, activation="softmax")])
        self.nets = {"encoder_net": self.encoder, "decoder_net": self.decoder, "model": self.model}
        self.x = np.random.RandomState(0).rand(20, 6).astype(np.float32)

    def test_auto_encoder(self):
        state = {"threshold": np.float64(0.02), "w_model_hl": None, "temperature": 0.5, "hidden_layer_kld": None}
        saved(self.folder, "AdversarialAE", state, self.nets)
        for model in (None, self.model):
            ad = vaeguard.from_alibi(self.folder, model=model)
            self.addCleanup(ad.close)
            p, q = self.model(self.x).numpy(), self.model(self.decoder(self.encoder(self.x))).numpy()
            p = p**2 / (p**2).sum(1, keepdims=True)  # of temperature 0.5
            np.testing.assert_allclose(ad.score(self.x), (p * np.log(p / q)).sum(1), atol=1e-6)
            got = ad.predict(self.x)
            np.testing.assert_array_equal(got["data"]["is_adversarial"], got["data"]["instance_score"] > 0.02)
            self.assertEqual((got["meta"]["name"], got["meta"]["data_type"]), ("AdversarialAE", "tabular"))

    def test_student(self):
        state = {"threshold": None, "temperature": 1.0, "loss_type": "xent"}
        student = tf.keras.Sequential([tf.keras.Input((6,)), L.Dense(5, activation="tanh"), L.Dense(4, activation="softmax")])
        saved(self.folder, "ModelDistillation", state, {"model": self.model, "distilled_model": student})
        ad = vaeguard.from_alibi(self.folder)
        self.addCleanup(ad.close)
        p, q = self.model(self.x).numpy(), student(self.x).numpy()
        np.testing.assert_allclose(ad.score(self.x), -(p * np.log(q)).sum(1), atol=1e-6)
        ad.fit(self.x, epochs=1, verbose=False)
        first = ad.history["loss"][0]
        ad.fit(self.x, epochs=1, verbose=False)  # it goes on
        self.assertLess(ad.history["loss"][0], first)
        self.assertEqual((ad.loss_type, ad.score(self.x).shape), ("xent", (20,)))

    def test_refusals(self):
        with self.assertRaises(FileNotFoundError):
            vaeguard.from_alibi(self.folder)
        saved(self.folder, "OutlierAE", {}, {})
        with self.assertRaisesRegex(ValueError, "OutlierAE"):
            vaeguard.from_alibi(self.folder)
        with open(os.path.join(self.folder, "meta.dill"), "wb") as f:
            pickle.dump({"name": Execute()}, f)
        with self.assertRaisesRegex(ValueError, "it holds (posix|nt).system"):
            vaeguard.from_alibi(self.folder)
        shutil.rmtree(self.folder)
        code = tf.keras.Sequential([tf.keras.Input((6,)), L.Dense(4), L.Lambda(lambda x: x * 2, output_shape=(4,))])
        saved(self.folder, "AdversarialAE", {"threshold": 0.5}, {**self.nets, "model": code})
        with self.assertRaisesRegex(ValueError, "a layer that is code: Lambda"):
            vaeguard.from_alibi(self.folder)
        os.remove(os.path.join(self.folder, "model", "model.h5"))
        open(os.path.join(self.folder, "model", "saved_model.pb"), "wb").close()
        with self.assertRaisesRegex(ValueError, "model is a SavedModel"):
            vaeguard.from_alibi(self.folder)
        with zipfile.ZipFile(os.path.join(self.folder, "model", "model.keras"), "w") as z:
            elsewhere = {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"}
            z.writestr("config.json", json.dumps({"module": "keras", "class_name": "Sequential", "config": {"layers": [elsewhere]}}))
        with self.assertRaisesRegex(ValueError, "names os, want what Keras has"):
            vaeguard.from_alibi(self.folder)
        with open(os.path.join(self.folder, "meta.dill"), "wb") as f:
            f.write(b"no pickle")
        with self.assertRaises(ValueError):
            vaeguard.from_alibi(self.folder)


if __name__ == "__main__":
    unittest.main()
