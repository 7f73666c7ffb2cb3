#!/usr/bin/env python3
"""What a user feels, beside alibi-detect and PyTorch: README's table.

    go build -o vaeguard ./host/cmd/vaeguard
    python3 host/bench/felt.py --vaeguard ./vaeguard --alibi ~/venv-alibi/bin/python --torch ~/venv-torch/bin/python --write

Runs host/evaluate/alibi/stages.py and the jobs of host/bench/pytorch/compare.py, prints the table, and with --write puts it into README.md, between the
comments that begin and end it. The first needs alibi-detect and TensorFlow, the second PyTorch; a side that is not named is left out of the table.
Nothing else should run on the machine.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
BEGIN, END = "<!-- host/bench/felt.py -->", "<!-- end -->"
PLUGIN = "vaeguard, plugin cnn"


def amount(n):
    """Megabytes, with three digits."""
    return f"{n / 1e9:.2g} GB" if n >= 1e9 else f"{n / 1e6:.0f} MB"


def seconds(t):
    return f"{t:.3g} s" if t >= 1 else f"{t * 1e3:.3g} ms"


def installed(python):
    """Bytes of the packages that an interpreter finds, pip aside."""
    where = subprocess.run([python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"], check=True, capture_output=True, text=True).stdout.strip()
    total = 0
    for folder, folders, files in os.walk(where):
        folders[:] = [d for d in folders if d not in ("pip", "setuptools", "__pycache__")]
        total += sum(os.lstat(os.path.join(folder, f)).st_size for f in files)
    return total


def stages(o):
    with tempfile.TemporaryDirectory() as work:
        out = os.path.join(work, "stages.json")
        subprocess.run([o.alibi, os.path.join(ROOT, "host", "evaluate", "alibi", "stages.py"), "--vaeguard", o.vaeguard, "--alibi", o.alibi,
                        "--rounds", str(o.rounds), "--out", out], check=True, stdout=sys.stderr)
        with open(out, encoding="utf-8") as f:
            told = json.load(f)
    theirs = next(k for k in told["rounds"] if k.startswith("alibi-detect"))

    def mid(side, stage, key):
        return statistics.median(r[stage][key] for r in told["rounds"][side])

    def both(what, stage, show):
        return [what, *(show(side, stage) for side in (theirs, PLUGIN))]

    def time_and_memory(side, stage):
        return f"{seconds(mid(side, stage, 'wall'))}, {amount(mid(side, stage, 'memory'))}"

    rows = [
        ["", f"{theirs}, TensorFlow {told['told'][theirs]['tensorflow']}", "vaeguard"],
        both("from the start of Python to the verdict on one row", "first", time_and_memory),
        both("the verdict on one row more, median", "row", lambda side, stage: seconds(mid(side, stage, "wall"))),
        both(f"training: {told['options']['rows']:,} rows, {told['options']['epochs']} epoch", "train", time_and_memory),
        both(f"scoring {told['options']['score']:,} rows", "score", time_and_memory),
        both("at rest", "rest", lambda side, stage: amount(mid(side, stage, "memory"))),
        ["on disk", amount(installed(o.alibi)), amount(os.path.getsize(o.vaeguard))],
    ]
    return rows, told["machine"]


def jobs(o):
    """The steps of specs/fashion-cnn.yaml."""
    p = subprocess.run([sys.executable, os.path.join(ROOT, "host", "bench", "pytorch", "compare.py"), "--vaeguard", o.vaeguard, "--python", o.torch,
                        "--rounds", str(o.rounds), "--threads", "2", "--networks", "fashion-cnn", "fashion-cnn, hardened"], check=True, stdout=subprocess.PIPE, text=True)
    version = p.stdout.partition("'torch': '")[2].partition("'")[0].partition("+")[0]
    rows = [["", f"PyTorch {version}, its fastest form", "vaeguard"]]
    for line in p.stdout.splitlines():
        cells = [c.strip() for c in line.split("|")[1:-1]]
        if len(cells) > 4 and cells[0].startswith("fashion-cnn") and (cells[0] == "fashion-cnn" or cells[2] == "train"):
            name = {"train": "a training step, 64 rows"}.get(cells[2], cells[2])
            rows.append([f"{cells[0]}: {name}", *(f"{float(c):.3g} ms" for c in cells[3:5])])
    return rows


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--vaeguard", required=True, help="the program")
    a.add_argument("--alibi", help="a Python with alibi-detect and TensorFlow")
    a.add_argument("--torch", help="a Python with PyTorch")
    a.add_argument("--rounds", type=int, default=3)
    a.add_argument("--write", action="store_true", help="into README.md")
    o = a.parse_args()
    o.vaeguard = os.path.abspath(o.vaeguard)
    tables, machine = [], ""
    if o.alibi:
        rows, machine = stages(o)
        tables.append(rows)
    if o.torch:
        tables.append(jobs(o))
    text = "\n\n".join("\n".join("| " + " | ".join(r) + " |" + ("\n|" + "---|" * len(r) if i == 0 else "") for i, r in enumerate(rows)) for rows in tables)
    text += f"\n\nMedians of {o.rounds} rounds in turns{', ' + machine if machine else ''}.\n"
    print(text)
    if o.write:
        path = os.path.join(ROOT, "README.md")
        with open(path, encoding="utf-8") as f:
            readme = f.read()
        before, begin, rest = readme.partition(BEGIN)
        _, end, after = rest.partition(END)
        if not begin or not end:
            sys.exit(f"README.md: want {BEGIN} and {END}")
        with open(path, "w", encoding="utf-8") as f:
            f.write(f"{before}{begin}\n{text}{end}{after}")


if __name__ == "__main__":
    main()
