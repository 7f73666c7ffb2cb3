"""The tables of track tabular, and its figures by class.

    tabular.py data runs/tables --credit germancredit.csv --thyroid raw.csv   # runs/tables/credit/train.csv, …
    vaeguard grid specs/tracks/tabular.yaml --out runs/tabular
    tabular.py page runs/tabular specs/tracks/TABULAR.md

The first splits the two files as tables.py does, which names the packages that they are in. The last reads the grid's
cells and writes the figures into the page, between its two marks. Needs numpy.
"""

import argparse
import csv
import json
import pathlib

import numpy as np
import tables

BEGIN, END = "<!-- tabular.py -->", "<!-- end -->"
CLASSES = {  # in the order of their numbers
    "credit": ["bad", "good"],
    "thyroid": ["compensated hypothyroid", "negative", "primary hypothyroid", "secondary hypothyroid"],
    "breast_cancer": ["malignant", "benign"],
}
SPLIT = 1  # seed of the split, the same for every seed of the track


def data(o):
    files = {"credit": (o.credit, "creditability"), "thyroid": (o.thyroid, "Class")}
    for name, (path, label) in files.items():
        if not path:
            continue
        names, rows = tables.file(path, label)
        names = [n.replace(" ", "_") for n in names]
        folder = o.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        for part, role in zip(tables.split(rows, SPLIT), ("train", "calibration", "test")):
            with open(folder / (role + ".csv"), "w", newline="") as f:
                csv.writer(f).writerows([names + ["label"], *part])
        print(folder)


def cells(folder):
    """What was measured: {(set, detector, kind, attack): {seed: columns}}, and processor seconds by set."""
    out, seconds = {}, {}
    for path in sorted((folder / "cells").glob("*/cell.json")):
        c = json.loads(path.read_text())
        seconds[c["set"]] = seconds.get(c["set"], 0) + c.get("cpu_seconds", 0)
        if c["kind"] in ("clean", "scores", "adaptive"):
            with np.load(path.parent / "scores.npz") as z:
                out.setdefault((c["set"], c["detector"], c["kind"], c.get("attack", "")), {})[c["seed"]] = {k: z[k] for k in z.files}
    return out, seconds


def by_row(seeds, what):
    """What holds of each row, as a mean over the seeds that have it; rows are those of any seed. And their classes."""
    total, n, y = {}, {}, {}
    for z in seeds.values():
        for row, label, v in zip(z["rows"], z["y"], what(z)):
            if v is not None and not np.isnan(v):
                total[row], n[row], y[row] = total.get(row, 0) + float(v), n.get(row, 0) + 1, label
    rows = sorted(total)
    return np.array([total[r] / n[r] for r in rows]), np.array([y[r] for r in rows])


def interval(v):
    """95 % of the mean, resampling rows."""
    if len(v) < 2:
        return float("nan"), float("nan")
    means = v[np.random.default_rng(1).integers(0, len(v), (2000, len(v)))].mean(1)
    return np.percentile(means, 2.5), np.percentile(means, 97.5)


def right(key):
    return lambda z: (z[key] == z["y"]).astype(float)


def gain(z):
    return (z["corrected"] == z["y"]).astype(float) - (z["predicted"] == z["y"])


def page(o):
    found, seconds = cells(o.folder)
    lines, worse, compared = [], [], 0
    for name in sorted({k[0] for k in found}):
        classes = CLASSES[name]
        kinds = sorted({k[2:] for k in found if k[0] == name and k[1] == o.detector}, key=lambda k: (["clean", "scores", "adaptive"].index(k[0]), k[1]))
        lines += ["", f"### {name}", "", "| rows | seeds | " + " | ".join(f"{c}" for c in ["all", *classes]) + " |", "|---|---|" + "---|" * (1 + len(classes))]
        for kind, attack in kinds:
            seeds = found[name, o.detector, kind, attack]
            label = attack or "clean"
            n = ", ".join(str(s) for s in sorted(seeds))

            def row(title, what, show):
                v, y = by_row(seeds, what)
                lines.append(f"| {title} | {n} | " + " | ".join(show(v[y == c] if c >= 0 else v) for c in range(-1, len(classes))) + " |")

            def share(v):
                return f"{v.mean():.3f} ({len(v)})" if len(v) else "–"

            def change(v):
                lo, hi = interval(v)
                return f"{v.mean():+.3f} [{lo:+.3f}, {hi:+.3f}]" if len(v) > 1 else f"{v.mean():+.3f}" if len(v) else "–"

            if kind != "adaptive":
                row(f"{label}: right, bare (rows)", right("predicted"), share)
                row(f"{label}: change by the guard", gain, change)
                v, y = by_row(seeds, gain)
                for c in range(-1, len(classes)):
                    part = v[y == c] if c >= 0 else v
                    if len(part):
                        compared += 1
                    if len(part) and part.mean() < 0:
                        sure = len(part) > 1 and interval(part)[1] < 0
                        worse.append(f"{name}, {label}, {classes[c] if c >= 0 else 'all'}: {part.mean():+.3f}" + (" (surely)" if sure else ""))
            if kind == "clean":
                row("clean: flagged", lambda z: z["flagged"].astype(float), share)
            elif kind == "scores":
                row(f"{label}: detected, of successes", lambda z: np.where(z["success"], z["flagged"], np.nan).astype(float), share)
            else:
                row(f"{label}: wrong", lambda z: (z["predicted"] != z["y"]).astype(float), share)
                row(f"{label}: wrong and not flagged", lambda z: z["evaded"].astype(float), share)
    lines += ["", f"Of {compared} comparisons of the guarded with the bare classifier, by rows and class, {len(worse)} are lower" + (":" if worse else "."), ""]
    lines += [f"- {w}" for w in worse] + ([""] if worse else [])
    lines += ["Processor seconds: " + ", ".join(f"{k} {v:.0f}" for k, v in sorted(seconds.items())) + ".", ""]
    text = o.page.read_text()
    head, rest = text.split(BEGIN)
    o.page.write_text(head + BEGIN + "\n" + "\n".join(lines) + "\n" + END + rest.split(END)[1])


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = p.add_subparsers(dest="verb", required=True)
    v = verbs.add_parser("data")
    v.add_argument("folder", type=pathlib.Path)
    v.add_argument("--credit")
    v.add_argument("--thyroid")
    v.set_defaults(do=data)
    v = verbs.add_parser("page")
    v.add_argument("folder", type=pathlib.Path)
    v.add_argument("page", type=pathlib.Path)
    v.add_argument("--detector", default="recommended")
    v.set_defaults(do=page)
    o = p.parse_args()
    o.do(o)


if __name__ == "__main__":
    main()
