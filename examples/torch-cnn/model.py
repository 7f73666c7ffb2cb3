"""The ResNet of a checkpoint as a plugin."""
import os

import torch

import vaeguard.torch
from net import ResNet

here = os.path.dirname(os.path.abspath(__file__))
model = ResNet()
model.load_state_dict(torch.load(os.path.join(here, "resnet.pt"), map_location="cpu", weights_only=True))  # no pickled programs
vaeguard.torch.serve(model, name="resnet", input_shape=(1, 28, 28), num_classes=10, lo=0, hi=1, hidden=["layer1"])
