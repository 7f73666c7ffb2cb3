"""A PyTorch network as a plugin: vaeguard trains it, then guards it."""
import torch

import vaeguard.torch


def make(input_shape, classes):
    """Answers logits for (N, 64) pixels of 8×8 digits in [0, 1]."""
    return torch.nn.Sequential(
        torch.nn.Unflatten(1, (1, 8, 8)),
        torch.nn.Conv2d(1, 16, 3, padding=1), torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(16 * 4 * 4, 64), torch.nn.ReLU(),
        torch.nn.Linear(64, classes),
    )


vaeguard.torch.serve_trainable(make, name="torch-digits", lo=0, hi=1, hidden=["6"])
