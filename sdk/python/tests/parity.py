"""Compares AdversarialAE with alibi-detect's own on the same weights: scores, threshold, flags, corrections, times.

    python tests/parity.py FOLDER

FOLDER holds the package alibi_detect: a site-packages, or a wheel that was unpacked. It needs TensorFlow and scikit-learn;
0.13, whose TensorFlow comes with another Keras than it is written for, also tf-keras and TF_USE_LEGACY_KERAS=1.
What of alibi-detect the comparison has no use for is not imported, so that its other requirements need not be there.
"""

import importlib.util
import logging
import os
import sys
import time
import types
from unittest.mock import MagicMock


def alibi(folder):
    """alibi-detect's AdversarialAE. The packages' own imports would load everything; only the modules that it needs are."""
    root = os.path.join(folder, "alibi_detect")
    for name in ("", "ad", "models", "models/tensorflow", "utils", "utils/tensorflow"):
        package = types.ModuleType(".".join(["alibi_detect", *name.split("/")] if name else ["alibi_detect"]))
        package.__path__ = [os.path.join(root, name)]
        sys.modules[package.__name__] = package
    for name in ("catalogue", "dill", "tensorflow_probability", "toml", "tqdm", "transformers"):
        if importlib.util.find_spec(name) is None:
            sys.modules[name] = MagicMock()
    import numpy as np

    if not hasattr(np, "float_"):
        np.float_ = np.float64
    from alibi_detect.ad.adversarialae import AdversarialAE

    return AdversarialAE


def timed(what, f):
    began = time.perf_counter()
    got = f()
    print(f"{what:<30} {time.perf_counter() - began:8.2f} s")
    return got


def main(folder):
    import numpy as np
    import tensorflow as tf
    from sklearn.datasets import load_digits

    from vaeguard.detect import AdversarialAE

    logging.disable(logging.WARNING)
    keras, layers = tf.keras, tf.keras.layers
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32).reshape(-1, 8, 8, 1)
    keras.utils.set_random_seed(0)
    first = [keras.Input((8, 8, 1)), layers.Conv2D(16, 3, activation="relu"), layers.Flatten()]
    model = keras.Sequential([*first, layers.Dense(10, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=5, verbose=0)
    first = [keras.Input((8, 8, 1)), layers.Conv2D(16, 3, strides=2, padding="same", activation="relu"), layers.Flatten()]
    encoder = keras.Sequential([*first, layers.Dense(12)])
    first = [keras.Input((12,)), layers.Dense(128, activation="relu"), layers.Reshape((4, 4, 8))]
    decoder = keras.Sequential([*first, layers.Conv2DTranspose(1, 3, strides=2, padding="same", activation="sigmoid")])
    start = [net.get_weights() for net in (encoder, decoder)]

    theirs = alibi(folder)(encoder_net=encoder, decoder_net=decoder, model=model)
    timed("alibi-detect: 3 epochs", lambda: theirs.fit(x, epochs=3, batch_size=64, verbose=False))
    ours = AdversarialAE(encoder_net=encoder, decoder_net=decoder, model=model)  # with the weights that it trained
    s, p, q = timed("alibi-detect: scores", lambda: theirs.score(x, return_predictions=True))
    timed("vaeguard: start, first scores", lambda: ours.score(x))
    s2, p2, q2 = timed("vaeguard: scores", lambda: ours.score(x, return_predictions=True))
    for what, a, b in (("scores", s, s2), ("P", p, p2), ("Q", q, q2)):
        print(f"{what}: up to {np.abs(a).max():.4g}, largest difference {np.abs(a - b).max():.2g}")
    for ad in (theirs, ours):
        ad.infer_threshold(x, threshold_perc=95)
    print(f"thresholds: {theirs.threshold:.9g} and {ours.threshold:.9g}")
    for call in ("predict", "correct"):
        a, b = (getattr(ad, call)(x) for ad in (theirs, ours))
        assert list(a["data"]) == list(b["data"]), call
        assert sorted(a["meta"]) == sorted(b["meta"]), call
        for name, v in a["data"].items():
            w = b["data"][name]
            assert (v.dtype, v.shape) == (w.dtype, w.shape), name
            if v.dtype.kind == "i":
                print(f"{call}, {name}: {(v != w).sum()} of {len(v)} differ")
    for net, weights in zip((encoder, decoder), start):
        net.set_weights(weights)
    mine = AdversarialAE(encoder_net=encoder, decoder_net=decoder, model=model)
    timed("vaeguard: 3 epochs", lambda: mine.fit(x, epochs=3, batch_size=64, verbose=False))
    print(f"mean score after training: alibi-detect {s.mean():.4g}, vaeguard {mine.score(x).mean():.4g}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
