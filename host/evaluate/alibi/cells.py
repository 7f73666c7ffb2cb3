"""The cells of a vaeguard grid that the comparison reads."""
import glob
import json
import os

import yaml


def find(folder, name, seed):
    """What is done for one set and seed: a dict with the directories of the
    network and of the detector of method ae, and the adversarial arrays by
    attack. A network has the recipe, its detector the threshold."""
    records = []
    for path in sorted(glob.glob(os.path.join(folder, "cells", "*", "cell.json"))):
        with open(path, encoding="utf-8") as f:
            r = json.load(f)
        if (r["set"], r["seed"]) == (name, seed):
            records.append({**r, "folder": os.path.dirname(path)})

    def plain(directory):
        with open(os.path.join(directory, "detector.yaml"), encoding="utf-8") as f:
            d = yaml.safe_load(f)["detector"]
        return d["method"] == "ae" and d.get("temperature", 1) == 1 and not d.get("hidden_layers")

    networks = {r["key"]: r for r in records if r["kind"] == "network" and plain(os.path.join(r["folder"], "detector"))}
    for r in records:
        if r["kind"] == "detector" and r["inputs"].get("network") in networks and plain(os.path.join(r["folder"], "detector")):
            net, classifier = networks[r["inputs"]["network"]], r["inputs"]["classifier"]
            arrays = {a["attack"]: os.path.join(a["folder"], "adv.npz") for a in records if a["kind"] == "arrays" and a["inputs"]["classifier"] == classifier}
            return {"network": os.path.join(net["folder"], "detector"), "detector": os.path.join(r["folder"], "detector"), "arrays": arrays,
                    "seconds": net["seconds"]}
    raise SystemExit(f"{folder} has no detector of method ae for {name}, seed {seed}: run the grid with --only detector=adversarial-ae first")
