import unittest

import numpy as np
import program

try:
    import torch
    from torch import nn
except ImportError as e:
    raise unittest.SkipTest(str(e)) from e

from vaeguard.detect import AdversarialAE, AdversarialVAE
from vaeguard.detect.nets import read

X = np.random.RandomState(0).rand(12, 2, 8, 8).astype(np.float32)  # channels first, as torch has it


def settled(net):
    """A net whose averages of batch normalisation are not those of the start."""
    with torch.no_grad():
        for m in net.modules():
            if hasattr(m, "running_mean"):
                m.running_mean.uniform_(-0.2, 0.2)
                m.running_var.uniform_(0.5, 2)
                m.weight.uniform_(0.5, 2)
                m.bias.uniform_(-0.5, 0.5)
    return net.eval()


def pairs():
    """Encoders and decoders of every kind of module that is read."""
    torch.manual_seed(0)
    yield (
        "strides and padding",
        nn.Sequential(nn.Conv2d(2, 4, 4, stride=2, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5)),
        nn.Sequential(
            nn.Linear(5, 48),
            nn.SiLU(),
            nn.Unflatten(1, (3, 4, 4)),
            nn.ConvTranspose2d(3, 6, 3, stride=1, padding=1),
            nn.LeakyReLU(0.1),
            nn.ConvTranspose2d(6, 2, 3, stride=2, padding=1, output_padding=1),
            nn.Sigmoid(),
        ),
    )
    yield (
        "pooling",
        nn.Sequential(
            nn.Conv2d(2, 6, (3, 5), padding="same", groups=2),
            nn.ELU(0.7),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 4, 1, bias=False),
            nn.AvgPool2d(2),
            nn.Sequential(nn.Flatten(), nn.Tanh(), nn.Linear(16, 12)),
            nn.LayerNorm(12),
            nn.GELU(),
        ),
        nn.Sequential(
            nn.Linear(12, 16, bias=False),
            nn.BatchNorm1d(16),
            nn.Softplus(),
            nn.Linear(16, 32),
            nn.Unflatten(1, (2, 4, 4)),
            nn.Dropout(0.3),
            nn.Upsample(scale_factor=2),
            nn.ZeroPad2d((1, 0, 2, 1)),
            nn.Conv2d(2, 2, (4, 2)),
            nn.SELU(),
        ),
    )
    yield (
        "an image for a code",
        nn.Sequential(nn.Conv2d(2, 3, 4, stride=4), nn.ReLU()),
        nn.Sequential(nn.ConvTranspose2d(3, 2, 4, stride=4), nn.Identity()),
    )
    yield (
        "one number a channel",
        nn.Sequential(nn.Conv2d(2, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2), nn.Softmax(1)),
        nn.Sequential(nn.Linear(2, 128), nn.Unflatten(1, (2, 8, 8))),
    )


@program.required
class TorchNets(unittest.TestCase):
    def test_the_same_numbers(self):
        torch.manual_seed(1)
        model = nn.Sequential(nn.Flatten(), nn.Linear(128, 7)).eval()
        for name, encoder, decoder in pairs():
            with self.subTest(name):
                encoder, decoder = settled(encoder), settled(decoder)
                ad = AdversarialAE(encoder_net=encoder, decoder_net=decoder, model=model)
                self.addCleanup(ad.close)
                score, p, q = ad.score(X, return_predictions=True)
                with torch.no_grad():
                    x = torch.from_numpy(X)
                    want = model(x).softmax(1).numpy()
                    after = model(decoder(encoder(x))).softmax(1).numpy()
                np.testing.assert_allclose(p, want, atol=1e-6)
                np.testing.assert_allclose(q, after, atol=1e-5)  # sums of up to 128 float32 in another order
                np.testing.assert_allclose(score, (want * np.log(want / after)).sum(1), atol=1e-5)

    def test_training(self):
        torch.manual_seed(2)
        model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 4))
        encoder = nn.Sequential(nn.Conv2d(2, 4, 2, stride=2), nn.ReLU(), nn.Flatten())
        decoder = nn.Sequential(nn.Linear(6, 128), nn.Sigmoid(), nn.Unflatten(1, (2, 8, 8)))
        ad = AdversarialVAE(encoder_net=encoder, decoder_net=decoder, latent_dim=6, model=model)
        self.addCleanup(ad.close)
        ad.fit(X, epochs=4, batch_size=4, w_recon=1, optimizer=torch.optim.Adam(model.parameters(), lr=0.01), verbose=False)
        self.assertIn("layout: nchw", ad.spec)
        self.assertIn("learning_rate: 0.01", ad.spec)
        self.assertLess(ad.history["loss"][-1], ad.history["loss"][0])
        self.assertEqual(ad.score(X).shape, (12,))

    def test_refusals(self):
        for net, want in (
            (nn.Sequential(nn.Conv2d(2, 3, 3, dilation=2)), "dilation"),
            (nn.Sequential(nn.Conv2d(3, 3, 3)), "takes 3 channels, and 2 come"),
            (nn.Sequential(nn.Linear(8, 3)), "a Flatten before it"),
            (nn.Sequential(nn.Flatten(), nn.Linear(100, 3)), "takes 100 numbers, and 128 come"),
            (nn.Sequential(nn.Flatten(), nn.BatchNorm1d(128)), "a Linear layer stand between"),
            (nn.Sequential(nn.Flatten()), "let a Linear layer follow"),
            (nn.Sequential(nn.Hardtanh()), "Hardtanh, which has no counterpart"),
            (nn.Sequential(nn.MaxPool2d(3, padding=1)), "no padding"),
        ):
            with self.assertRaisesRegex(TypeError, "encoder_net: .*" + want):
                read(net, (8, 8, 2), "encoder_net")


if __name__ == "__main__":
    unittest.main()
