import os
import tempfile
import unittest

import numpy as np

try:
    import torch

    import vaeguard.torch
    from vaeguard import _models
except ImportError as e:
    raise unittest.SkipTest(str(e)) from e

from differences import gradient_error


def net(seed=0, dtype=torch.float32):
    torch.manual_seed(seed)
    n = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, stride=2),
        torch.nn.BatchNorm2d(4),
        torch.nn.SiLU(),
        torch.nn.Dropout(0.5),
        torch.nn.Flatten(),
        torch.nn.Linear(4 * 9, 5),
    )
    return n.to(dtype)


class Torch(unittest.TestCase):
    x = np.random.RandomState(0).rand(4, 3, 8, 8).astype(np.float32)

    def test_gradient(self):
        c = vaeguard.torch.Torch(net(dtype=torch.float64), (3, 8, 8), 5)
        self.assertEqual((c.layout, c.predict(self.x).dtype), ("nchw", np.float32))
        self.assertLess(gradient_error(c, self.x, step=1e-2), 1e-3)

    def test_hidden(self):
        c = vaeguard.torch.Torch(net(), (3, 8, 8), 5, hidden=["0", "5"])
        self.assertEqual(c.hidden, {"0": (4, 3, 3), "5": (5,)})
        outs, pull = c.forward(self.x, ["hidden/0", "hidden/5", "output"])
        np.testing.assert_array_equal(outs["hidden/5"], outs["output"])
        dy = np.ones((4, 5), np.float32)
        both = pull({"output": dy, "hidden/5": dy})
        np.testing.assert_allclose(both, 2 * c.gradient(self.x, dy), rtol=1e-4, atol=1e-6)
        self.assertEqual(pull({"hidden/0": np.ones((4, 4, 3, 3), np.float32)}).shape, self.x.shape)

    def test_in_place(self):
        m = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 5), torch.nn.ReLU(inplace=True))
        c = vaeguard.torch.Torch(m, (3, 8, 8), 5, hidden=["1"])
        outs, _ = c.forward(self.x, ["hidden/1"])
        self.assertLess(outs["hidden/1"].min(), 0)

    def test_trainable(self):
        r = np.random.RandomState(0)
        x = r.rand(90, 1, 4, 4).astype(np.float32)
        y = (x.reshape(90, -1)[:, :3]).argmax(1)
        files = []
        for seed in (2**64 - 1, 2**64 - 1, 7):
            c = vaeguard.torch.Trainable(
                lambda shape, k: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(int(np.prod(shape)), k)), name="t", lo=0, hi=1
            )
            c.configure({}, "", input_shape=(4, 4, 1), classes=3, seed=1)
            self.assertEqual((c.layout, c.input_shape), ("nchw", None))
            with tempfile.TemporaryDirectory() as d:
                events = []
                config = c.fit(
                    x,
                    y,
                    x[:30],
                    y[:30],
                    {"epochs": 30, "batch_size": 16, "learning_rate": 0.05},
                    seed,
                    d,
                    lambda *a, events=events, **m: events.append(m),
                )
                with open(os.path.join(d, config["weights"]), "rb") as f:
                    files.append(f.read())
                c.configure(config, d)
                with self.assertRaises(vaeguard.ConfigError):
                    c.configure({"weights": "missing.npz"}, d)
            self.assertEqual((len(events), c.name, c.input_shape, c.num_classes, c.lo), (30, "t", (1, 4, 4), 3, 0))
            self.assertGreater(events[-1]["val_accuracy"], 0.8)
            self.assertAlmostEqual(events[-1]["val_accuracy"], float((c.predict(x[:30]).argmax(1) == y[:30]).mean()), places=5)
        self.assertEqual(files[0], files[1])  # the same seed, the same bytes
        self.assertNotEqual(files[0], files[2])

    def test_borrowed(self):
        for first in (torch.nn.ReLU(inplace=True), torch.nn.Flatten()):
            m = torch.nn.Sequential(first, torch.nn.Flatten(), torch.nn.BatchNorm1d(192), torch.nn.Dropout(), torch.nn.Linear(192, 5))
            m[2].eval()  # one part alone
            x = self.x - 0.5
            before, flags = x.copy(), [(p.training, getattr(p, "inplace", None)) for p in m.modules()]
            c = _models.classifier(m, x)
            self.assertEqual((c.input_shape, c.num_classes, c.layout, c.output), ((3, 8, 8), 5, "nchw", "logits"))
            y, dx = c.predict(x), c.gradient(x, np.ones((4, 5), np.float32))
            np.testing.assert_array_equal(c.predict(x), y)  # no dropout
            np.testing.assert_array_equal(x, before)
            self.assertEqual([(p.training, getattr(p, "inplace", None)) for p in m.modules()], flags)
            loss = m(torch.from_numpy(x).clone()).sum()
            loss.backward()
            self.assertTrue(all(p.requires_grad and p.grad is not None for p in m.parameters()))
            frozen = vaeguard.torch.Torch(m, (3, 8, 8), 5)
            np.testing.assert_array_equal(frozen.predict(x.copy()), y)
            np.testing.assert_array_equal(frozen.gradient(x, np.ones((4, 5), np.float32)), dx)

    def test_trained_on(self):
        m = net()
        c = _models.classifier(m, self.x)
        y = c.predict(self.x)
        with torch.no_grad():
            m[-1].bias.add_(0)  # written to, and the same
        np.testing.assert_array_equal(c.predict(self.x), y)
        step = torch.optim.SGD(m.parameters(), lr=0.1)
        m(torch.from_numpy(self.x).clone()).sum().backward()
        step.step()
        for ask in (lambda: c.predict(self.x), lambda: c.gradient(self.x, np.ones((4, 5), np.float32))):
            with self.assertRaisesRegex(RuntimeError, "weights of the Sequential have changed"):
                ask()
        self.assertEqual(_models.classifier(m, self.x).predict(self.x).shape, (4, 5))

    def test_known(self):
        c = _models.source(net(), known=_models.Known((8, 8, 3), 5, "logits")).classifier
        self.assertEqual((c.input_shape, c.num_classes, c.output), ((3, 8, 8), 5, "logits"))
        self.assertEqual(c.predict(self.x).shape, (4, 5))
        with self.assertRaisesRegex(ValueError, "no rows"):
            _models.source(net(), self.x[:0])

    def test_digest(self):
        a, b, c = (vaeguard.torch.Torch(net(s), (3, 8, 8), 5).digest for s in (0, 0, 1))
        self.assertEqual(a, b)
        self.assertNotEqual(a, c)


if __name__ == "__main__":
    unittest.main()
