"""Trains a ResNet on Fashion-MNIST, as somebody did long ago: writes resnet.pt, and with --onnx resnet.onnx."""
import argparse
import gzip

import numpy as np
import torch

from net import ResNet


def fashion(split, rows, folder="/usr/share/datasets/fashion-mnist"):
    """(rows, 1, 28, 28) pixels in [0, 1] and their labels."""
    with gzip.open("%s/%s-images-idx3-ubyte.gz" % (folder, split)) as f, gzip.open("%s/%s-labels-idx1-ubyte.gz" % (folder, split)) as g:
        x, y = f.read(16 + 784 * rows)[16:], g.read(8 + rows)[8:]
    x = np.frombuffer(x, np.uint8).reshape(-1, 1, 28, 28).astype(np.float32) / 255
    return torch.from_numpy(x), torch.from_numpy(np.frombuffer(y, np.uint8).astype(np.int64))


p = argparse.ArgumentParser(description=__doc__)
p.add_argument("--rows", type=int, default=20000)
p.add_argument("--epochs", type=int, default=2)
p.add_argument("--onnx", action="store_true")
a = p.parse_args()

torch.manual_seed(0)
(x, y), net = fashion("train", a.rows), ResNet()
optimizer = torch.optim.Adam(net.parameters())
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, epochs=a.epochs, steps_per_epoch=-(-a.rows // 128))
for epoch in range(a.epochs):
    for rows in torch.randperm(len(x)).split(128):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
        optimizer.step()
        schedule.step()
net.eval()
tx, ty = fashion("t10k", 10000)
with torch.no_grad():
    right = sum((net(a).argmax(1) == b).sum().item() for a, b in zip(tx.split(1000), ty.split(1000)))
print("test accuracy %.3f" % (right / len(tx)))
torch.save(net.state_dict(), "resnet.pt")
if a.onnx:
    torch.onnx.export(net, tx[:1], "resnet.onnx", input_names=["x"], output_names=["logits"], dynamic_axes={"x": {0: "n"}, "logits": {0: "n"}})
