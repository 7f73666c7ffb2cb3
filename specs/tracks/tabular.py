"""The tables of track tabular, and its figures by class.

    tabular.py data FOLDER --credit germancredit.csv --thyroid raw.csv   # FOLDER/credit/train.csv, …
    tabular.py page runs/tabular > specs/tracks/TABULAR.md

The first splits the two files as tables.py does, which names the packages that they are in. The second reads the cells of
`vaeguard grid specs/tracks/tabular.yaml`. Needs numpy.
"""

import argparse
import csv
import json
import pathlib

import tables

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


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = p.add_subparsers(dest="verb", required=True)
    v = verbs.add_parser("data")
    v.add_argument("folder", type=pathlib.Path)
    v.add_argument("--credit")
    v.add_argument("--thyroid")
    v.set_defaults(do=data)
    o = p.parse_args()
    o.do(o)


if __name__ == "__main__":
    main()
