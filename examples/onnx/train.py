"""Wrote fashion.onnx: a small CNN for Fashion-MNIST, trained and exported by PyTorch 1.13 from Debian's dataset-fashion-mnist.

    python3 train.py
"""
import gzip

import numpy as np
import torch
from torch import nn


def fashion(split, folder="/usr/share/datasets/fashion-mnist"):
    """(N, 1, 28, 28) pixels in [0, 1] and their labels."""
    with gzip.open("%s/%s-images-idx3-ubyte.gz" % (folder, split)) as f, gzip.open("%s/%s-labels-idx1-ubyte.gz" % (folder, split)) as g:
        x, y = f.read()[16:], g.read()[8:]
    x = np.frombuffer(x, np.uint8).reshape(-1, 1, 28, 28).astype(np.float32) / 255
    return torch.from_numpy(x), torch.from_numpy(np.frombuffer(y, np.uint8).astype(np.int64))


torch.manual_seed(0)
net = nn.Sequential(
    nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU(),
    nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
    nn.Flatten(), nn.Dropout(0.3), nn.Linear(32 * 7 * 7, 10),
)
(x, y), (tx, ty), epochs = fashion("train"), fashion("t10k"), 4
optimizer = torch.optim.Adam(net.parameters())
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, epochs=epochs, steps_per_epoch=-(-len(x) // 128))
for epoch in range(epochs):
    for rows in torch.randperm(len(x)).split(128):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
        optimizer.step()
        schedule.step()
net.eval()
with torch.no_grad():
    print("test accuracy %.3f" % (net(tx).argmax(1) == ty).float().mean())
torch.onnx.export(net, tx[:1], "fashion.onnx", input_names=["x"], output_names=["logits"], dynamic_axes={"x": {0: "n"}, "logits": {0: "n"}})
