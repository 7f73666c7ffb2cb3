"""Check a plugin without vaeguard: python -m vaeguard.check model.py

Runs model.py up to its serve, serves the classifier over a real gRPC connection
in this process, and asks whether it is what it says: shapes, finiteness, sums of
probabilities, the same answer twice and in another batch, gradients against
central differences. Exit status 0: nothing failed; 1: a check failed; 2: usage.
"""

from __future__ import annotations

import argparse
import json
import os
import runpy
import sys
from typing import List, Optional, Sequence

import numpy as np

from . import handshake
from ._checks import run
from ._client import Client, connect
from ._findings import Finding, Findings
from .classifier import Classifier

__all__ = ["Client", "Findings", "connect", "load", "main", "run"]


class _Found(BaseException):
    pass


def load(path: str) -> Classifier:
    """The classifier that the program at path hands to vaeguard.serve."""
    found: List[Classifier] = []

    def capture(classifier: Classifier) -> None:
        found.append(classifier)
        raise _Found

    argv, first = sys.argv, sys.path[0]
    sys.argv, sys.path[0], handshake.instead = [path], os.path.dirname(os.path.abspath(path)), capture
    try:
        runpy.run_path(path, run_name="__main__")
    except _Found:
        pass
    finally:
        sys.argv, sys.path[0], handshake.instead = argv, first, None
    if not found:
        raise SystemExit(f"vaeguard.check: {path} did not call serve")
    return found[0]


def main(argv: Optional[Sequence[str]] = None) -> int:
    """The command line. Returns the exit status."""
    import grpc

    p = argparse.ArgumentParser(prog="python -m vaeguard.check", description=(__doc__ or "").split("\n\n")[0])
    p.add_argument("model", help="a program that calls vaeguard.serve")
    p.add_argument("--config", help="a JSON file for configure")
    p.add_argument("--data", help="an .npy of rows (N, input…), in the classifier's layout")
    p.add_argument("--input-shape", default="", help="of the data, as 28,28,1, for classifiers that learn it")
    p.add_argument("--classes", type=int, default=0)
    p.add_argument("--seed", type=int, default=0)
    a = p.parse_args(argv)
    if not os.path.isfile(a.model):
        p.error(f"no file {a.model}")
    classifier, config, base = load(a.model), {}, os.getcwd()
    if a.config:
        base = os.path.dirname(os.path.abspath(a.config))
        with open(a.config, encoding="utf-8") as f:
            config = json.load(f)
    shape = tuple(int(d) for d in a.input_shape.split(",") if d)
    findings: List[Finding]
    with connect(classifier) as client:
        try:
            bad = client.configure(config, base, shape, a.classes, a.seed)
            if bad:
                findings = [("fail", "configure", f"{pointer}: {message}" if pointer else message) for pointer, message in bad]
            else:
                findings = run(client, np.load(a.data) if a.data else None, a.seed)
        except grpc.RpcError as e:
            findings = [("fail", "call", f"{e.code().name.lower()}: {e.details()}")]
    for severity, check, message in findings:
        print(f"{severity:<4}  {check}: {message}")
    return int(any(severity == "fail" for severity, _, _ in findings))


if __name__ == "__main__":
    sys.exit(main())
