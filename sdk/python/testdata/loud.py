"""A classifier that prints past Python's buffers before it serves; told to, it claims standard output first."""

import os
import sys

import vaeguard

if "claim" in sys.argv:
    vaeguard.claim_stdout()
os.system("echo loading by a child")
os.write(1, b"loading by a library\n")


class Loud(vaeguard.Classifier):
    input_shape, num_classes = (2,), 2

    def predict(self, x):
        return x


vaeguard.serve(Loud())
