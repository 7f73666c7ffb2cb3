"""Attacks a guard by the code of others, and has vaeguard judge what they made.

    python attack.py DETECTOR --images t10k-images.gz --labels t10k-labels.gz --rows 200 --norm linf --eps 0.1
    python attack.py DETECTOR --data rows.npz --norm l2 --eps 1.5 --attacks apgdt --json

The guard and its classifier leave vaeguard as one ONNX graph (`vaeguard export --with-classifier`), which becomes a PyTorch
function (graph.py); before anything is attacked, every flag, class and score of it has to agree with `vaeguard detect` on the clean rows. It
needs a shipped classifier: mlp, cnn or onnx. Attacked are the rows that the guarded classifier has right and passes, with

- apgdt: torchattacks' targeted APGD on the classifier that takes a flagged row for its right class (the construction of Carlini and
  Wagner 2017, arXiv:1705.07263, section 3.2, with the extra class folded into the label);
- pgd: Foolbox's projected gradient descent from a random start, for each of the nearest wrong classes, with the margin to that class
  and a hinge on the score as its loss.

What counts is the verdict of `vaeguard detect` on the rows that come out: misclassified and not flagged.
"""

import argparse
import gzip
import json
import os
import struct
import subprocess
import tempfile

import numpy as np
import onnx  # before torch: Debian's brings another onnx.proto
import torch

from graph import Graph


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("detector", help="a folder, a run or a pack")
    p.add_argument("--data", help=".npz with x and y: raw rows and classes")
    p.add_argument("--images", help="rows as IDX, perhaps gzipped; divided by 255")
    p.add_argument("--labels", help="their classes as IDX")
    p.add_argument("--rows", type=int, default=200, help="so many, equally of each class and evenly spaced within it")
    p.add_argument("--norm", choices=["linf", "l2"], default="linf")
    p.add_argument("--eps", type=float, required=True, help="radius, in units of the rows")
    p.add_argument("--steps", type=int, default=100)
    p.add_argument("--targets", type=int, default=3, help="wrong classes to aim at, the nearest first")
    p.add_argument("--attacks", default="pgd,apgdt")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--binary", default="vaeguard")
    p.add_argument("--flags", default="", help="further ones of vaeguard, as --allow-command")
    p.add_argument("--json", action="store_true")
    o = p.parse_args()
    unknown = set(o.attacks.split(",")) - set(ATTACKS)
    if unknown:
        raise SystemExit(f"attacks are {', '.join(ATTACKS)}, not {', '.join(sorted(unknown))}")
    torch.manual_seed(o.seed)
    x, y = rows(o)
    guard = Guard(o, x[:1])
    clean = guard.agree(x)
    right = (clean["predicted"] == y) & ~clean["flagged"]
    if not right.any():
        raise SystemExit("no row is right and passes: there is nothing to attack")
    x0, y0 = x[right], y[right]
    report = {"rows": len(x), "right": int(right.sum()), "norm": o.norm, "eps": o.eps, "evaded": {}}
    worst = np.zeros(len(x0), bool)
    for name in o.attacks.split(","):
        evaded = np.zeros(len(x0), bool)
        for made in ATTACKS[name](guard, torch.from_numpy(x0), torch.from_numpy(y0), o):
            made = within(made.numpy(), x0, guard.box, o)
            seen = guard.detect(made)
            evaded |= (seen["predicted"] != y0) & ~seen["flagged"]
        report["evaded"][name] = round(float(evaded.mean()), 4)
        worst |= evaded
    report["evaded"]["any"] = round(float(worst.mean()), 4)
    if o.json:
        print(json.dumps(report))
        return
    print(f"{report['right']} of {report['rows']} rows are right and pass; of these, {o.norm} {o.eps:g}:")
    for name, share in report["evaded"].items():
        print(f"  {name:6} evades {share:.3f}")


def rows(o):
    """Raw rows and their classes."""
    if o.data:
        with np.load(o.data) as a:
            x, y = a["x"], a["y"]
    elif o.images and o.labels:
        x, y = idx(o.images).astype(np.float32) / 255, idx(o.labels)
        x = x[..., None] if x.ndim == 3 else x
    else:
        raise SystemExit("want --data, or --images and --labels")
    at = balanced(y, o.rows)
    return x[at].astype(np.float32), y[at].astype(np.int64)


def balanced(y, n):
    """The numbers of n rows, in their order: of each class as many, or one less, as far as there are so many of it, evenly spaced."""
    where = [np.flatnonzero(y == c) for c in np.unique(y)]
    shares, left = {}, min(n, len(y))
    for k, w in enumerate(sorted(range(len(where)), key=lambda i: len(where[i]))):  # small classes first: what they lack goes to the others
        shares[w] = min(len(where[w]), left // (len(where) - k))
        left -= shares[w]
    return np.sort(np.concatenate([w[(2 * np.arange(shares[i]) + 1) * len(w) // max(1, 2 * shares[i])] for i, w in enumerate(where)]))


def idx(path):
    """An array of bytes in the format of MNIST's files."""
    with gzip.open(path) if path.endswith(".gz") else open(path, "rb") as f:
        raw = f.read()
    dims = struct.unpack(f">{raw[3]}I", raw[4 : 4 + 4 * raw[3]])
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(dims)


def within(made, x, box, o):
    """The rows made, held to the ball and the box, whatever their makers did."""
    d = made.astype(np.float32) - x
    if o.norm == "linf":
        d = np.clip(d, -o.eps, o.eps)
    else:
        length = np.sqrt((d.reshape(len(d), -1).astype(np.float64) ** 2).sum(1)).reshape(-1, *[1] * (d.ndim - 1))
        d = (d * np.minimum(1, o.eps / np.maximum(length, 1e-12))).astype(np.float32)
    return np.clip(x + d, *box).astype(np.float32)


class Guard:
    """A guarded classifier: as vaeguard has it, and as a PyTorch function of raw rows that gives logits and score."""

    def __init__(self, o, row):
        self.o = o
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "guard.onnx")
            self.run("export", o.detector, "--out", path, "--with-classifier", *o.flags.split())
            graph = onnx.load(path)
        about = json.loads(self.run("inspect", o.detector, "--json"))["detector"]
        self.threshold = about["threshold"]["value"]
        self.probabilities = about["classifier"]["output"] == "probabilities"
        raw = about["signature"]["raw"]
        self.box = raw["low"], raw["high"]
        self.module = parts(graph)
        self.classes = self(torch.from_numpy(row))[0].shape[1]

    def run(self, *line, **more):
        done = subprocess.run([self.o.binary, *line], capture_output=True, text=True, check=False, **more)
        if done.returncode:
            raise SystemExit(f"{' '.join(line[:2])}: {done.stderr.strip()}")
        return done.stdout

    def __call__(self, x):
        """Logits, up to a constant of the row, and scores."""
        z, score = self.module(x)
        return (torch.log(z.clamp_min(1e-30)) if self.probabilities else z), score.reshape(-1)

    def detect(self, x):
        """What vaeguard says of raw rows."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "x.npy")
            np.save(path, x)
            said = json.loads(self.run("detect", self.o.detector, "--data", path, "--format", "json", *self.o.flags.split()))["data"]
        return {
            "predicted": np.array(said["predicted"]),
            "flagged": np.array(said["is_adversarial"]).astype(bool),
            "score": np.array([np.inf if s is None else s for s in said["instance_score"]], float),
        }

    def agree(self, x):
        """Holds that the function says what vaeguard does."""
        want = self.detect(x)
        with torch.no_grad():
            z, score = self(torch.from_numpy(x))
        z, score = z.numpy(), score.numpy()
        off = np.abs(score - want["score"]) / np.maximum(1, np.abs(want["score"]))
        for what, bad in (
            ("class", z.argmax(1) != want["predicted"]),
            ("flag", (score > self.threshold) != want["flagged"]),
            ("score", ~(off < 1e-3)),
        ):
            if bad.any():
                raise SystemExit(
                    f"the {what} of {int(bad.sum())} of {len(x)} rows differs from vaeguard's, of row {int(bad.argmax())} first"
                )
        return want


def parts(model):
    """The graph that gives the classifier's outputs and the score, of the one that gives verdicts."""
    by = {name: node for node in model.graph.node for name in node.output}

    def up(name, *ops):
        while by[name].op_type in ops:
            name = by[name].input[2 if by[name].op_type == "Where" else 0]
        return name

    classes = up("predicted", "Identity", "Cast")
    if by[classes].op_type != "ArgMax":
        raise SystemExit(f"the predicted class comes from {by[classes].op_type}, not from ArgMax")
    score = up("instance_score", "Identity", "Where")
    return Graph(model, [by[classes].input[0], score])


def hinge(guard, score):
    """How far scores are above what passes, in units of the threshold's size."""
    return torch.relu(score - guard.threshold * (0.98 if guard.threshold > 0 else 1.02)) / max(1e-6, abs(guard.threshold))


def pgd(guard, x, y, o):
    import foolbox

    base = foolbox.attacks.LinfPGD if o.norm == "linf" else foolbox.attacks.L2PGD

    class Aimed(base):
        def get_loss_fn(self, model, labels):
            def loss(inputs):
                z, score = guard(inputs.raw)
                wrong = z.gather(1, self.target[:, None])[:, 0]
                others = z.scatter(1, self.target[:, None], -1e9).max(1).values
                lost = torch.relu(others - wrong + 0.5) + self.weight * hinge(guard, score)
                return inputs.__class__(-lost.sum())

            return loss

    logits = foolbox.PyTorchModel(Logits(guard).eval(), bounds=guard.box, device="cpu")
    with torch.no_grad():
        near = guard(x)[0].scatter(1, y[:, None], -1e9).argsort(1, descending=True)
    for k in range(min(o.targets, guard.classes - 1)):
        for weight in (1.0, 5.0):
            attack = Aimed(steps=o.steps, rel_stepsize=0.05, random_start=k > 0)
            attack.target, attack.weight = near[:, k], weight
            made = attack.run(logits, x, foolbox.criteria.Misclassification(y), epsilon=o.eps)
            yield made.detach()


class Logits(torch.nn.Module):
    def __init__(self, guard):
        super().__init__()
        self.guard = guard

    def forward(self, x):
        return self.guard(x)[0]


class Folded(torch.nn.Module):
    """Logits of a classifier that takes a flagged row for its right class, y, which whoever asks has set."""

    def __init__(self, guard, shape):
        super().__init__()
        self.guard, self.shape, self.y = guard, shape, None
        self.where = torch.nn.Parameter(torch.zeros(1))  # torchattacks looks for a device

    def forward(self, x):
        z, score = self.guard(x.reshape(len(x), *self.shape))
        z = z - z.min(1, keepdim=True).values
        above = (score - self.guard.threshold) / max(1e-6, abs(self.guard.threshold))
        flagged = (1 + above) * z.max(1).values
        right = self.y[:, None]
        return z.scatter(1, right, torch.maximum(z.gather(1, right), flagged[:, None].to(z.dtype)))


def apgdt(guard, x, y, o):
    import torchattacks

    class Labelled(torchattacks.APGDT):
        """Hands the labels of the rows that it works on to the model."""

        def perturb(self, x_in, y_in, *more, **rest):
            folded.y = y_in
            return super().perturb(x_in, y_in, *more, **rest)

        def attack_single_run(self, x_in, y_in):
            folded.y = y_in
            return super().attack_single_run(x_in, y_in)

    folded = Folded(guard, x.shape[1:]).eval()
    attack = Labelled(
        folded,
        norm="Linf" if o.norm == "linf" else "L2",
        eps=o.eps,
        steps=o.steps,
        n_classes=min(guard.classes, o.targets + 1),
        seed=o.seed,
    )
    folded.y = y
    if guard.box != (0, 1):
        raise SystemExit(f"torchattacks knows rows in [0, 1] alone, these are in {list(guard.box)}: take --attacks pgd")
    images = x if x.ndim == 4 else x.reshape(len(x), -1, 1, 1)  # it takes no others
    yield attack(images, y).detach().reshape(x.shape)


ATTACKS = {"pgd": pgd, "apgdt": apgdt}


if __name__ == "__main__":
    main()
