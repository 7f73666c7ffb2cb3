#!/usr/bin/python3
"""Writes the models of this folder: NAME.onnx, exported by PyTorch 1.13, and
NAME.bin, little-endian float32: inputs x, outputs y and x's gradient of
Σ y·(1, −1, 2, −2, …) row by row, as PyTorch computes them in evaluation mode.

    python3 models.py
"""
import io
import pathlib

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

HERE = pathlib.Path(__file__).parent


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.b0 = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.c1, self.b1 = nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(16)
        self.c2, self.b2 = nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.skip, self.head = nn.Conv2d(8, 16, 1, stride=2), nn.Linear(16, 10)

    def forward(self, x):
        x = F.relu(self.b0(self.stem(x)))
        y = self.b2(self.c2(F.relu(self.b1(self.c1(x)))))
        x = F.relu(y + self.skip(x))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


class Dense(nn.Module):
    """Concatenates what it has computed."""

    def __init__(self):
        super().__init__()
        self.c = nn.ModuleList(nn.Conv2d(3 + 6 * i, 6, 3, padding=1) for i in range(3))
        self.norm, self.head = nn.BatchNorm2d(21), nn.Linear(21 * 16, 5)

    def forward(self, x):
        for c in self.c:
            x = torch.cat([x, F.leaky_relu(c(x), 0.1)], 1)
        x = F.avg_pool2d(self.norm(x), 2)
        return self.head(x.view(x.size(0), -1))


class Attention(nn.Module):
    """Patches, layer normalisation, heads of attention."""

    def __init__(self):
        super().__init__()
        self.patch, self.norm = nn.Conv2d(1, 12, 4, stride=4), nn.LayerNorm(12)
        self.qkv, self.out, self.head = nn.Linear(12, 36), nn.Linear(12, 12), nn.Linear(12, 4)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        b, t, c = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(b, t, 3, 3, 4).permute(2, 0, 3, 1, 4).unbind(0)
        a = torch.softmax(q @ k.transpose(-2, -1) * 0.5, -1)
        x = x + self.out((a @ v).transpose(1, 2).reshape(b, t, c))
        return self.head(F.gelu(x).mean(1))


class Decoder(nn.Module):
    """Transposed convolutions, resizing, padding, instance and group norm."""

    def __init__(self):
        super().__init__()
        self.down, self.up = nn.Conv2d(2, 6, 3, stride=2, padding=1), nn.ConvTranspose2d(6, 4, 4, stride=2, padding=1)
        self.inst, self.group = nn.InstanceNorm2d(6, affine=True), nn.GroupNorm(2, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = F.hardswish(self.inst(self.down(x)))
        x = torch.sigmoid(self.group(self.up(x)))
        x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        x = F.interpolate(F.pad(x, (1, 2, 0, 1), mode="reflect"), scale_factor=2)
        return self.head(x.amax(3).sqrt().mean(2))


class Split(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(12, 16), nn.Linear(8, 4)

    def forward(self, x):
        a, b = self.a(x).chunk(2, 1)
        y = F.softplus(a) * torch.tanh(b) + a.clamp(-0.5, 0.7) / (1.5 + b.abs()) - b[:, 1:2] ** 2
        return self.b(torch.where(y > 0, y, 0.1 * y.exp()))


def sequence(*layers):
    return nn.Sequential(*layers)


MODELS = {  # name: (module, input shape, options)
    "mlp": (sequence(nn.Flatten(), nn.Linear(36, 20), nn.ReLU(), nn.Linear(20, 10), nn.Softmax(1)), (1, 6, 6), {}),
    "cnn": (sequence(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 12, 3, padding=1), nn.ReLU(),
                     nn.MaxPool2d(3, 2, padding=1, ceil_mode=True), nn.Flatten(), nn.Dropout(), nn.Linear(12 * 16, 10)), (1, 14, 14), {}),
    "residual": (Residual(), (1, 12, 12), {}),
    "depthwise": (sequence(nn.Conv2d(3, 8, 3, stride=2), nn.Hardswish(), nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.SiLU(),
                           nn.Conv2d(8, 16, 3, padding=1, groups=8), nn.Conv2d(16, 8, 1, groups=4), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 6)), (3, 13, 11), {}),
    "dilated": (sequence(nn.Conv2d(2, 5, 3, dilation=2), nn.ELU(), nn.Conv2d(5, 4, (3, 2), stride=(2, 1), padding=(2, 1), dilation=(1, 3)), nn.SELU(),
                         nn.MaxPool2d(2, dilation=2), nn.Flatten(), nn.Linear(4 * 2 * 3, 3)), (2, 14, 13), {}),
    "dense": (Dense(), (3, 8, 8), {}),
    "gelu": (sequence(nn.Linear(9, 24), nn.GELU(), nn.LayerNorm(24), nn.Linear(24, 24), nn.SiLU(), nn.Linear(24, 4), nn.LogSoftmax(1)), (9,), {}),
    "average": (sequence(nn.Conv2d(1, 4, 5, padding=2), nn.LeakyReLU(0.2), nn.AvgPool2d(3, 2, padding=1), nn.Conv2d(4, 4, 3), nn.Tanh(),
                         nn.AvgPool2d(2, 1, padding=1, count_include_pad=False), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(4, 3)), (1, 11, 11), {}),
    "attention": (Attention(), (1, 12, 12), {}),
    "decoder": (Decoder(), (2, 8, 8), {}),
    "split": (Split(), (12,), {}),
    "signal": (sequence(nn.Conv1d(3, 8, 5, stride=2, padding=2), nn.BatchNorm1d(8), nn.PReLU(8), nn.MaxPool1d(2), nn.ConvTranspose1d(8, 4, 3, stride=2),
                        nn.Flatten(), nn.Linear(4 * 9, 2)), (3, 16), {}),
    "volume": (sequence(nn.Conv3d(1, 3, 3, padding=1, stride=(1, 2, 1)), nn.ReLU(), nn.AvgPool3d(2), nn.Flatten(), nn.Linear(3 * 2 * 1 * 3, 3)), (1, 4, 5, 6), {}),
    "binary": (sequence(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 1), nn.Sigmoid()), (5,), {}),
    "fixed": (Dense(), (3, 8, 8), {"dynamic_axes": None, "batch": 1}),
    "opset16": (Residual(), (1, 12, 12), {"opset_version": 16}),
    "opset11": (Attention(), (1, 12, 12), {"opset_version": 11}),
}


def main():
    for seed, (name, (model, shape, o)) in enumerate(MODELS.items()):
        torch.manual_seed(seed)
        for p in model.parameters():
            nn.init.normal_(p, 0, 0.3) if p.dim() > 1 else nn.init.uniform_(p, 0.2, 0.8)
        for m in model.modules():
            if isinstance(m, nn.modules.batchnorm._BatchNorm):
                nn.init.uniform_(m.running_mean, -0.3, 0.3)
                nn.init.uniform_(m.running_var, 0.5, 2)
        model.eval()
        x = torch.rand(4, *shape)
        sample = x[: o.get("batch", 2)]
        b = io.BytesIO()
        torch.onnx.export(model, sample, b, input_names=["x"], output_names=["y"], opset_version=o.get("opset_version", 13),
                          dynamic_axes=o.get("dynamic_axes", {"x": {0: "n"}, "y": {0: "n"}}))
        (HERE / f"{name}.onnx").write_bytes(b.getvalue())
        # expected: what the importer shows, so logits where there is a softmax or logistic end
        core = model[:-1] if isinstance(model, nn.Sequential) and isinstance(model[-1], (nn.Softmax, nn.Sigmoid)) else model
        core = core.double()
        z = x.double().requires_grad_(True)
        y = core(z)
        if y.shape[1] == 1:
            y = torch.cat([torch.zeros_like(y), y], 1)
        w = torch.tensor([(k // 2 + 1) * (-1) ** k for k in range(y.shape[1])], dtype=torch.float64)
        (y * w).sum().backward()
        data = np.concatenate([t.detach().numpy().astype("<f4").ravel() for t in (x, y, z.grad)])
        (HERE / f"{name}.bin").write_bytes(data.tobytes())


if __name__ == "__main__":
    main()
