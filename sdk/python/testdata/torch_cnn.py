"""A small torch network with known numbers: tanh(1×1 convolution), flattened, linear."""

import torch

import vaeguard.torch


def sines(*shape):
    n = 1
    for d in shape:
        n *= d
    return torch.sin(1 + torch.arange(n, dtype=torch.float64)).reshape(shape).float()


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(2, 3, 1)
        self.act = torch.nn.Tanh()
        self.relu = torch.nn.ReLU(inplace=True)
        self.fc = torch.nn.Linear(3 * 4 * 5, 4)
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(sines(*p.shape))

    def forward(self, x):
        print("printed in forward")
        return self.fc(self.relu(self.act(self.conv(x))).flatten(1))


vaeguard.torch.serve(Net(), input_shape=(2, 4, 5), num_classes=4, lo=0, hi=1, hidden=["act", "fc"], threads=1)
