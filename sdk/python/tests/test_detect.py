import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import numpy as np
import program

import vaeguard
from vaeguard import _program
from vaeguard.detect import AdversarialAE, AdversarialVAE, ModelDistillation, load_detector, save_detector
from vaeguard.detect.spec import dump, load_tensors, save_tensors

HERE = os.path.dirname(os.path.abspath(__file__))
ONNX = os.path.join(HERE, "..", "..", "..", "examples", "onnx", "fashion.onnx")

ENCODER = [{"dense": {"units": 8, "activation": "relu"}}]
DECODER = [{"dense": {"units": 8, "activation": "relu"}}, {"dense": {"units": 6, "activation": "sigmoid"}}]
W = np.random.RandomState(3).randn(6, 3).astype(np.float32)


COMMAND = """\
import sys
sys.path.insert(0, {!r})
import numpy as np, vaeguard
w = np.load("w.npy")
vaeguard.serve(vaeguard.Function(lambda x: x @ w, (6,), 3, output="logits", gradient=lambda x, dy: dy @ w.T, lo=0, hi=1))
"""


def logits(x):
    return x @ W


def model():
    return vaeguard.Function(logits, output="logits", gradient=lambda x, dy: dy @ W.T, name="linear", lo=0, hi=1)


def vae(**options):
    options.setdefault("model", model())
    return AdversarialVAE(encoder_net=ENCODER, decoder_net=DECODER, latent_dim=4, **options)


X = np.random.RandomState(0).rand(256, 6).astype(np.float32)


logging.disable(logging.WARNING)  # that there is no threshold yet


@program.required
class Detect(unittest.TestCase):
    def folder(self):
        d = tempfile.TemporaryDirectory()
        self.addCleanup(d.cleanup)
        return d.name

    def fitted(self, **options):
        ad = vae(**options)
        self.addCleanup(ad.close)
        ad.fit(X, epochs=2, verbose=False)
        ad.infer_threshold(X, threshold_perc=90)
        return ad

    def test_dictionary(self):
        ad = self.fitted(data_type="tabular")
        got = ad.predict(X[:10])
        self.assertEqual(list(got["data"]), ["instance_score", "is_adversarial"])
        self.assertEqual(
            {k: (v.dtype, v.shape) for k, v in got["data"].items()},
            {"instance_score": (np.float32, (10,)), "is_adversarial": (np.int64, (10,))},
        )
        want = {
            "name": "AdversarialVAE",
            "online": False,
            "data_type": "tabular",
            "version": vaeguard.__version__,
            "detector_type": "adversarial",
        }
        self.assertEqual(got["meta"], want)
        self.assertIsNone(ad.predict(X[:2], return_instance_score=False)["data"]["instance_score"])
        self.assertEqual(ad.predict(X)["data"]["is_adversarial"].mean(), 26 / 256)  # what lies above the 90th percentile
        fixed = ad.correct(X)["data"]
        self.assertEqual(list(fixed), ["instance_score", "is_adversarial", "corrected", "no_defense", "defense"])
        flag = fixed["is_adversarial"] == 1
        np.testing.assert_array_equal(fixed["corrected"][flag], fixed["defense"][flag])
        np.testing.assert_array_equal(fixed["corrected"][~flag], fixed["no_defense"][~flag])
        np.testing.assert_array_equal(fixed["no_defense"], logits(X).argmax(1))
        score, p, q = ad.score(X, return_predictions=True)
        e = np.exp(logits(X))
        np.testing.assert_allclose(p, e / e.sum(1, keepdims=True), atol=1e-6)
        self.assertEqual((score.shape, q.shape), ((256,), (256, 3)))
        np.testing.assert_array_equal(ad.score(X[5:9]), score[5:9])

    def test_history_and_spec(self):
        ad = vae()
        with self.assertRaisesRegex(RuntimeError, "before fit"):
            ad.spec  # noqa: B018
        with self.assertRaisesRegex(RuntimeError, "call fit"):
            ad.score(X)
        ad.fit(X, epochs=3, w_recon=0.1, cov_elbo={"sim": 0.1}, log_metric=("acc", None), verbose=False)
        self.assertEqual({len(v) for v in ad.history.values()}, {3})
        self.assertLess(ad.history["loss"][-1], ad.history["loss"][0])
        self.assertIn("accuracy", ad.history)
        for part in ("w_recon: 0.1", "cov_elbo: {sim: 0.1}", "elbo_reduction: sum", "log_var: softplus", "latent_dim: 4", "plugin: caller"):
            self.assertIn(part, ad.spec)
        with self.assertRaisesRegex(ValueError, "infer_threshold"):
            ad.predict(X)

    def test_a_further_fit_goes_on(self):
        ad = vae()
        ad.fit(X, epochs=3, verbose=False)
        first = ad.history["loss"]
        ad.fit(X, epochs=1, verbose=False)
        self.assertLess(ad.history["loss"][0], first[0])

    def test_save_and_load(self):
        ad = self.fitted()
        path = os.path.join(self.folder(), "guard")
        save_detector(ad, path)
        again = load_detector(path, model=model())
        self.addCleanup(again.close)
        self.assertEqual((type(again), again.threshold), (AdversarialVAE, ad.threshold))
        for a, b in zip(again.predict(X)["data"].values(), ad.predict(X)["data"].values()):
            np.testing.assert_array_equal(a, b)
        with self.assertRaisesRegex(TypeError, "model="):
            load_detector(path)
        with vaeguard.Detector(path, model=model()) as d:
            np.testing.assert_array_equal(d.predict(X)["data"]["is_adversarial"], ad.predict(X)["data"]["is_adversarial"])
        with vaeguard.Detector(path) as d, self.assertRaisesRegex(RuntimeError, "lent by the program"):
            d.predict(X)

    def test_other_detectors(self):
        ae = AdversarialAE(encoder_net=[{"dense": {"units": 4}}], decoder_net=DECODER, latent_dim=4, model=model())
        student = ModelDistillation(distilled_model=[{"dense": {"units": 8, "activation": "relu"}}], model=model(), loss_type="xent")
        for ad in (ae, student):
            self.addCleanup(ad.close)
            ad.fit(X, epochs=2, verbose=False)
            ad.infer_threshold(X, threshold_perc=95, margin=0.5)
            self.assertEqual(ad.predict(X)["data"]["is_adversarial"].dtype, np.int64)
            path = os.path.join(self.folder(), "guard")
            save_detector(ad, path)
            again = load_detector(path, model=model())
            self.addCleanup(again.close)
            self.assertIs(type(again), type(ad))
            np.testing.assert_array_equal(again.score(X), ad.score(X))

    def test_same_bits_as_the_program(self):
        images = np.random.RandomState(1).rand(64, 28, 28, 1).astype(np.float32)
        encoder = [{"conv2d": {"filters": 2, "kernel_size": 4, "strides": 4}}, "flatten"]
        decoder = [{"dense": {"units": 784, "activation": "sigmoid"}}, {"reshape": {"target_shape": [28, 28, 1]}}]
        ad = AdversarialVAE(encoder_net=encoder, decoder_net=decoder, latent_dim=3, model=ONNX, seed=7)
        self.addCleanup(ad.close)
        ad.fit(images, epochs=1, verbose=False)
        folder = self.folder()
        ad.save_spec(folder)
        subprocess.run(
            [_program.find(), "train", "spec.yaml", "--out", "again", "--quiet"], cwd=folder, check=True, stdout=subprocess.DEVNULL
        )
        ad.threshold = 1.0
        ad.save(os.path.join(folder, "ours"))
        a, b = (load_tensors(os.path.join(folder, d, "weights.safetensors")) for d in ("ours", "again"))
        self.assertEqual(sorted(a), sorted(b))
        for name in a:
            self.assertEqual(a[name].tobytes(), b[name].tobytes(), name)
        again = load_detector(os.path.join(folder, "ours"))  # an ONNX file needs no model
        self.addCleanup(again.close)
        np.testing.assert_array_equal(again.score(images), ad.score(images))

    def test_another_form_of_the_model(self):
        images = np.random.RandomState(1).rand(64, 28, 28, 1).astype(np.float32)
        encoder = [{"conv2d": {"filters": 2, "kernel_size": 4, "strides": 4}}, "flatten"]
        decoder = [{"dense": {"units": 784, "activation": "sigmoid"}}, {"reshape": {"target_shape": [28, 28, 1]}}]
        there, elsewhere = self.folder(), self.folder()
        shutil.copy(ONNX, os.path.join(there, "net.onnx"))
        section = {"plugin": "onnx", "config": {"model": "net.onnx"}}
        before = os.getcwd()
        self.addCleanup(os.chdir, before)
        os.chdir(there)  # where the relative path of a section starts
        ad = AdversarialVAE(0.5, encoder_net=encoder, decoder_net=decoder, latent_dim=3, samples=1, model=section)
        self.addCleanup(ad.close)
        ad.fit(images, epochs=1, verbose=False)
        want = ad.score(images)
        path = os.path.join(elsewhere, "guard")
        ad.save(path)
        os.chdir(elsewhere)
        again = load_detector(path)
        self.addCleanup(again.close)
        np.testing.assert_array_equal(again.score(images), want)
        os.remove(os.path.join(there, "net.onnx"))
        with self.assertRaises(RuntimeError):
            ad2 = load_detector(path)
            self.addCleanup(ad2.close)
            ad2.score(images)
        shutil.copy(ONNX, os.path.join(elsewhere, "other.onnx"))
        for model in ("other.onnx", {"plugin": "onnx", "config": {"model": "other.onnx"}}):
            again = load_detector(path, model=model)
            self.addCleanup(again.close)
            np.testing.assert_array_equal(again.score(images), want)
            again.threshold = 0.25
            again.save(os.path.join(elsewhere, "saved" + str(len(os.listdir(elsewhere)))))

    def test_commands_start_here(self):
        folder = self.folder()
        before = os.getcwd()
        self.addCleanup(os.chdir, before)
        os.chdir(folder)
        np.save("w.npy", W)
        with open("model.py", "w") as f:
            f.write(COMMAND.format(os.path.dirname(HERE)))
        ad = vae(model={"command": [sys.executable, "model.py"]})
        self.addCleanup(ad.close)
        ad.fit(X, epochs=1, verbose=False)
        np.testing.assert_allclose(ad.score(X, return_predictions=True)[1].argmax(1), logits(X).argmax(1))

    def test_no_rows(self):
        ad = self.fitted()
        path = os.path.join(self.folder(), "guard")
        save_detector(ad, path)
        for own in (model(), logits):  # a function whose first rows would tell of its output
            again = load_detector(path, model=own)
            self.addCleanup(again.close)
            self.assertEqual(again.score(X[:0]).shape, (0,))
            np.testing.assert_array_equal(again.correct(X)["data"]["no_defense"], logits(X).argmax(1))
            with vaeguard.Detector(path, model=own) as d:
                self.assertEqual(len(d.predict(X[:0])["data"]["is_adversarial"]), 0)
                np.testing.assert_array_equal(d.predict(X)["data"]["is_adversarial"], ad.predict(X)["data"]["is_adversarial"])
        with self.assertRaisesRegex(ValueError, "no rows"):
            vae().fit(X[:0], epochs=1, verbose=False)
        with self.assertRaisesRegex(RuntimeError, "cannot be trained further"):
            again.fit(X)

    def test_two_thousand_images(self):
        images = np.random.RandomState(2).rand(2000, 28, 28, 1).astype(np.float32)
        encoder = [{"conv2d": {"filters": 2, "kernel_size": 4, "strides": 4}}, "flatten"]
        decoder = [{"dense": {"units": 784, "activation": "sigmoid"}}, {"reshape": {"target_shape": [28, 28, 1]}}]
        ad = AdversarialVAE(encoder_net=encoder, decoder_net=decoder, latent_dim=3, samples=1, model=ONNX, seed=7)
        self.addCleanup(ad.close)
        ad.fit(images[:64], epochs=1, verbose=False)
        ad.infer_threshold(images[:64], threshold_perc=90)
        path = os.path.join(self.folder(), "guard")
        ad.save(path)
        with vaeguard.Detector(path) as d:
            d.predict(images[:2])  # it is started
            began = time.monotonic()
            got = d.predict(images)["data"]["instance_score"]
            arrays = time.monotonic() - began
        lines = "\n".join(json.dumps(row) for row in images.tolist()).encode()
        began = time.monotonic()
        command = [_program.find(), "detect", path, "--data", "-", "--quiet"]
        said = subprocess.run(command, input=lines, stdout=subprocess.PIPE, check=True).stdout.splitlines()
        text = time.monotonic() - began
        np.testing.assert_array_equal(got, [json.loads(line)["instance_score"] for line in said])
        self.assertLess(arrays, text)  # which is what Detector once spoke

    def test_the_model_raises(self):
        bad = [False]

        def moody(x):
            if bad[0]:
                raise ArithmeticError("not today")
            return logits(x)

        ad = vae(model=vaeguard.Function(moody, output="logits", gradient=lambda x, dy: dy @ W.T))
        self.addCleanup(ad.close)
        ad.fit(X, epochs=1, verbose=False)
        ad.threshold = 0.1
        bad[0] = True
        for call in (lambda: ad.predict(X), lambda: ad.fit(X, epochs=1, verbose=False)):
            with self.assertRaisesRegex(RuntimeError, "not today") as e:
                call()
            self.assertIsInstance(e.exception.__cause__, ArithmeticError)
        bad[0] = False
        self.assertEqual(len(ad.predict(X)["data"]["is_adversarial"]), 256)

    def test_rows_that_cannot_be(self):
        ad = self.fitted()
        bad = X.copy()
        bad[7, 2] = np.nan
        with self.assertRaisesRegex(ValueError, "row 7"):
            ad.score(bad)
        with self.assertRaisesRegex(ValueError, "want"):
            ad.score(X[:, :5])
        self.assertEqual(len(ad.score(X)), 256)

    def test_a_killed_process(self):
        ad = self.fitted()
        want = ad.score(X)
        ad._scoring._requests._process.kill()
        ad._scoring._requests._process.wait()
        np.testing.assert_array_equal(ad.score(X), want)

    def test_threads(self):
        ad = self.fitted()
        want, got = ad.score(X), {}
        threads = [threading.Thread(target=lambda i=i: got.update({i: ad.score(X[i : i + 32])})) for i in range(0, 256, 32)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        np.testing.assert_array_equal(np.concatenate([got[i] for i in sorted(got)]), want)

    @unittest.skipIf(os.name == "nt", "signals")
    def test_interrupt(self):
        ad = self.fitted()
        threshold, score = ad.threshold, ad.score(X)
        timer = threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        began = time.monotonic()
        with self.assertRaises(KeyboardInterrupt):
            ad.fit(X, epochs=1000000, verbose=False)
        self.assertLess(time.monotonic() - began, 15)
        self.assertEqual(ad.threshold, threshold)
        np.testing.assert_array_equal(ad.score(X), score)  # it is what it was
        self.assertEqual([n for n in os.listdir(ad._work) if "partial" in n], [])

    def test_refusals(self):
        for options, want in (
            ({"loss_fn": print}, "loss_fn"),
            ({"callbacks": []}, "callbacks"),
            ({"preprocess_fn": print}, "apply it to X"),
            ({"optimizer": "nadam"}, "adam"),
            ({"log_metric": "f1"}, "accuracy"),
            ({"cov_elbo": {"full": None}}, "cov_full"),
        ):
            with self.assertRaisesRegex((TypeError, ValueError), want):
                vae().fit(X, epochs=1, verbose=False, **options)
        for make, want in (
            (lambda: AdversarialVAE(encoder_net=ENCODER, decoder_net=DECODER, latent_dim=4), "model is missing"),
            (lambda: AdversarialVAE(encoder_net=ENCODER, decoder_net=DECODER, model=logits), "latent_dim"),
            (lambda: AdversarialVAE(model=logits, latent_dim=2), "encoder_net"),
            (lambda: vae(model=3).fit(X), "a model of type int"),
            (lambda: AdversarialVAE(encoder_net=3, decoder_net=DECODER, latent_dim=4, model=logits).fit(X), "encoder_net is int"),
            (lambda: ModelDistillation(distilled_model=[], model=logits, loss_type="mse"), "kld or xent"),
        ):
            with self.assertRaisesRegex((TypeError, ValueError), want):
                make()


class Files(unittest.TestCase):
    def test_yaml(self):
        spec = {"a": {"b": None, "c": 1e-07, "d": "no", "e": [1, "x y", {"f": True}], "g": {}}, "h": "plain"}
        self.assertEqual(dump(spec), 'a:\n  c: 1.0e-07\n  d: "no"\n  e:\n    - 1\n    - "x y"\n    - {f: true}\n  g: {}\nh: plain\n')
        with self.assertRaises(ValueError):
            dump({"a": float("nan")})

    def test_tensors(self):
        with tempfile.TemporaryDirectory() as d:
            path = os.path.join(d, "x.safetensors")
            arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.float32([7])}
            save_tensors(path, arrays)
            got = load_tensors(path)
            for k, v in arrays.items():
                np.testing.assert_array_equal(got[k], v)


if __name__ == "__main__":
    unittest.main()
