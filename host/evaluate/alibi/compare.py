#!/usr/bin/env python3
"""Run alibi-detect's AdversarialAE beside a vaeguard detector of method ae.

    python compare.py DETECTOR --adv pgd.npz cw.npz --out DIR --vaeguard ./vaeguard
    python compare.py --grid runs/s-lite --set fashion-mnist --seed 1 --out DIR --vaeguard ./vaeguard

Three parts, all on the classifier that the detector guards, with the very same
weights, and on the same adversarial rows (written by vaeguard attack, or by a
benchmark's cells):

exact   vaeguard's trained auto-encoder inside alibi-detect: do both give the
        same predictions and the same instance scores?
train   alibi-detect trains an auto-encoder of the same layers by its own
        defaults, and both detectors are judged side by side.
time    both train steps in turns (report only).

DIR (with --grid its folder SET-SEED) gets alibi-detect/ and vaeguard/, each with
report.json and scores.json for `vaeguard runs compare`, exact.json, time.json
and summary.md; alibi-detect/ also has the arrays that a grid takes over
(external). README.md has the versions to install. Nothing here is part of the tests.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np

import cells
import figures
import rows

BATCH = 500      # rows scored together
CLIP = 1e-7      # Keras's floor of probabilities
SMALL = 1e-3     # scores below this are compared by difference alone: float32 has no more of them
RELATIVE = 1e-3  # how well the others are to agree
ABSOLUTE = 1e-5  # and the small ones


def run(o, *args):
    subprocess.run([o.vaeguard, *args, "--quiet", "--threads", str(o.threads)], check=True, stdout=subprocess.DEVNULL)


def detect(o, detector, x, *include):
    """What vaeguard detect says of rows, and seconds per row."""
    with tempfile.TemporaryDirectory() as work:
        np.save(os.path.join(work, "x.npy"), x)
        begin = time.perf_counter()
        run(o, "detect", detector, "--data", os.path.join(work, "x.npy"), "--format", "npz", "--batch", str(BATCH),
            "--out", os.path.join(work, "r.npz"), *(["--include", ",".join(include)] if include else []))
        seconds = time.perf_counter() - begin
        with np.load(os.path.join(work, "r.npz")) as f:
            return {k: f[k] for k in f.files}, seconds / len(x)


def clipped(o, spec, directory, work):
    """A detector with the same weights whose scores clip probabilities."""
    s = json.loads(json.dumps(spec))
    s["classifier"].pop("train", None)
    s["classifier"]["config"]["weights"] = os.path.abspath(os.path.join(directory, "classifier", "weights.safetensors"))
    s["vae"]["weights"] = os.path.abspath(os.path.join(directory, "weights.safetensors"))
    s["detector"]["probability_clip"] = CLIP
    s["threshold"] = {"value": 1}
    s.pop("train", None)
    path = os.path.join(work, "clipped.yaml")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(s, f)  # which is YAML
    run(o, "train", path, "--out", os.path.join(work, "clipped"))
    return os.path.join(work, "clipped")


def agreement(theirs, ours):
    """How two columns of scores agree."""
    theirs, ours = np.asarray(theirs, np.float64), np.asarray(ours, np.float64)
    difference, large = np.abs(theirs - ours), np.maximum(theirs, ours) > SMALL
    return {"n": len(ours), "n_above_small": int(large.sum()), "largest": float(ours.max()),
            "max_difference": float(difference.max()), "max_difference_small": float(difference[~large].max(initial=0)),
            "max_relative": float((difference[large] / np.maximum(theirs, ours)[large]).max(initial=0)),
            "same": int((np.where(large, difference <= RELATIVE * np.maximum(theirs, ours), difference <= ABSOLUTE)).sum())}


def exact(o, spec, directory, nets, model, sets):
    """vaeguard's auto-encoder in AdversarialAE, on each set of rows."""
    import safetensors.numpy
    from alibi_detect.ad import AdversarialAE

    weights = safetensors.numpy.load_file(os.path.join(directory, "weights.safetensors"))
    first = next(iter(sets.values()))
    encoder, decoder = nets.autoencoder(spec, first.shape[1:], {k: v for k, v in weights.items() if k.startswith(("encoder.", "decoder."))})
    detector = AdversarialAE(threshold=1.0, model=model, encoder_net=encoder, decoder_net=decoder)
    out = {}
    with tempfile.TemporaryDirectory() as work:
        floor = clipped(o, spec, directory, work)
        for name, x in sets.items():
            score, p, q = detector.score(x, batch_size=BATCH, return_predictions=True)
            ours, _ = detect(o, directory, x, "probabilities", "probabilities_reconstructed", "reconstruction")
            withclip, _ = detect(o, floor, x)
            rebuilt = np.concatenate([detector.ae(x[i:i + BATCH]).numpy() for i in range(0, len(x), BATCH)])
            out[name] = {
                "probabilities": float(np.abs(p - ours["probabilities"]).max()),
                "probabilities_reconstructed": float(np.abs(q - ours["probabilities_reconstructed"]).max()),
                "reconstruction": float(np.abs(rebuilt - ours["reconstruction"]).max()),
                "predicted_differ": int((p.argmax(-1) != ours["predicted"]).sum()),
                "reconstructed_differ": int((q.argmax(-1) != ours["reconstructed"]).sum()),
                "score": agreement(score, ours["instance_score"]), "score_clipped": agreement(score, withclip["instance_score"]),
            }
            print(f"exact {name}: {json.dumps(out[name])}", flush=True)
    return out


def trained(o, spec, nets, model, x):
    """alibi-detect's own training on x: the detector and its seconds."""
    import safetensors.numpy
    import tensorflow as tf
    from alibi_detect.ad import AdversarialAE

    path, record = os.path.join(o.out, "alibi-detect", "weights.safetensors"), os.path.join(o.out, "alibi-detect", "training.json")
    if os.path.exists(record):
        with open(record, encoding="utf-8") as f:
            done = json.load(f)
        encoder, decoder = nets.autoencoder(spec, x.shape[1:], safetensors.numpy.load_file(path))
        return AdversarialAE(model=model, encoder_net=encoder, decoder_net=decoder), done
    tf.keras.utils.set_random_seed(o.seed)
    encoder, decoder = nets.autoencoder(spec, x.shape[1:])
    detector = AdversarialAE(model=model, encoder_net=encoder, decoder_net=decoder)
    begin, cpu = time.perf_counter(), time.process_time()
    detector.fit(x, epochs=o.epochs, batch_size=o.batch_size, verbose=False)
    done = {"seconds": time.perf_counter() - begin, "cpu_seconds": time.process_time() - cpu, "epochs": o.epochs, "batch_size": o.batch_size,
            "rows": len(x), "seed": o.seed, "threads": o.threads, "loss": "KL, w_model 1, w_recon 0", "optimizer": "Adam 1e-3"}
    safetensors.numpy.save_file({**nets.values(encoder, "encoder."), **nets.values(decoder, "decoder.")}, path)
    with open(record, "w", encoding="utf-8") as f:
        json.dump(done, f, indent=2)
    return detector, done


def steps(o, spec, nets, model, x):
    """Milliseconds of a training step of both, in turns."""
    import tensorflow as tf
    from alibi_detect.ad import AdversarialAE

    encoder, decoder = nets.autoencoder(spec, x.shape[1:])
    detector = AdversarialAE(model=model, encoder_net=encoder, decoder_net=decoder)
    n, optimizer = 30, tf.keras.optimizers.Adam()
    detector.fit(x[:4 * o.batch_size], epochs=1, batch_size=o.batch_size, verbose=False, optimizer=optimizer)
    theirs, busy, ours = [], [], []
    with tempfile.TemporaryDirectory() as work:
        path = os.path.join(work, "spec.yaml")
        with open(path, "w", encoding="utf-8") as f:
            json.dump({**spec, "train": {**spec["train"], "batch_size": o.batch_size}}, f)
        for _ in range(o.rounds):
            begin, cpu = time.perf_counter(), time.process_time()
            detector.fit(x[:n * o.batch_size], epochs=1, batch_size=o.batch_size, verbose=False, optimizer=optimizer)
            theirs.append((time.perf_counter() - begin) / n * 1e3)
            busy.append((time.process_time() - cpu) / n * 1e3)
            text = subprocess.run([o.vaeguard, "bench", path, "--json", "--quiet", "--steps-only", "--seconds", "2", "--threads", str(o.threads)],
                                  check=True, capture_output=True, text=True).stdout
            ours.append(json.loads(text)["train_step"]["ms"])
            print(f"time: alibi-detect {theirs[-1]:.1f} ms, vaeguard {ours[-1]:.1f} ms", flush=True)
    return {"batch": o.batch_size, "threads": o.threads, "rounds": o.rounds, "alibi_detect_ms": float(np.median(theirs)),
            "alibi_detect_cpu_ms": float(np.median(busy)), "vaeguard_ms": float(np.median(ours)),
            "ratio": float(np.median(np.array(theirs) / np.array(ours)))}


def judged(r, ms, x):
    """Columns for figures.report from vaeguard's or alibi-detect's dict."""
    theirs = "no_defense" in r
    return {"digest": rows.digest(x), "score": np.asarray(r["instance_score"], np.float64), "flagged": np.asarray(r["is_adversarial"]) == 1,
            "predicted": r["no_defense" if theirs else "predicted"], "reconstructed": r["defense" if theirs else "reconstructed"],
            "corrected": r["corrected"], "ms": ms}


def judge(name, method, threshold, calibration, seconds, ask, x, y, attacks, out):
    """Score clean and adversarial rows with ask, write both files and the
    arrays that a grid takes over; the report."""
    clean = judged(*ask(x), x)
    columns = {k: {**judged(*ask(a["x_adv"]), a["x_adv"]), "y": a["y"], "before": a["predicted"], "success": a["success"]} for k, a in attacks.items()}
    report, scores = figures.report(name, method, threshold, calibration, seconds, y, clean, {k: {**c, "rows": attacks[k]["rows"]} for k, c in columns.items()})
    for file, what in (("report.json", report), ("scores.json", scores)):
        with open(os.path.join(out, name, file), "w", encoding="utf-8") as f:
            json.dump(what, f, indent=None if file == "scores.json" else 2)
    clean = {"rows": np.arange(len(y)), "y": y, **clean}
    for file, what in {"clean": clean, **{k: {"rows": np.arange(len(c["y"])) if attacks[k]["rows"] is None else attacks[k]["rows"], **c} for k, c in columns.items()}}.items():
        np.savez_compressed(os.path.join(out, name, file + ".npz"), **{k: v for k, v in what.items() if k != "ms"})
    return report


def options():
    a = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    a.add_argument("detector", nargs="?", help="a detector or run of method ae, with a classifier that vaeguard trained")
    a.add_argument("--grid", help="instead of DETECTOR and --adv: the folder of a grid with its detector adversarial-ae")
    a.add_argument("--set", help="of the grid")
    a.add_argument("--adv", nargs="+", default=[], help="adversarial arrays: [ID=]FILE.npz")
    a.add_argument("--out", required=True)
    a.add_argument("--vaeguard", default="vaeguard")
    a.add_argument("--data", help="folder of the IDX files")
    a.add_argument("--parts", nargs="+", choices=["exact", "train", "time"], default=["exact", "train", "time"])
    a.add_argument("--epochs", type=int, help="default: the spec's")
    a.add_argument("--batch-size", type=int, help="default: the spec's")
    a.add_argument("--seed", type=int, default=1, help="of alibi-detect's training; with --grid also the grid's")
    a.add_argument("--percentile", type=float, default=95, help="of the calibration rows' scores: alibi-detect's threshold")
    a.add_argument("--limit", type=int, default=2000, help="rows of each set that the exact part compares")
    a.add_argument("--rounds", type=int, default=5)
    a.add_argument("--threads", type=int, default=1)
    o = a.parse_args()
    if (o.detector is None) == (o.grid is None) or (o.grid is None) != (o.set is None):
        a.error("want DETECTOR, or --grid and --set")
    return o


def main():
    o = options()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(o.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    import alibi_detect

    import networks as nets

    if alibi_detect.__version__ != "0.11.4":
        sys.exit(f"alibi-detect is {alibi_detect.__version__}; want 0.11.4, the last under Apache-2.0")
    if o.grid:
        found = cells.find(o.grid, o.set, o.seed)
        spec, directory = nets.read_spec(found["network"])[0], found["detector"]
        o.adv, o.out = [f"{k}={v}" for k, v in found["arrays"].items()], os.path.join(o.out, f"{o.set}-{o.seed}")
    else:
        spec, directory = nets.read_spec(o.detector)
    o.epochs = o.epochs or spec["train"]["epochs"]
    o.batch_size = o.batch_size or spec["train"]["batch_size"]
    os.makedirs(os.path.join(o.out, "alibi-detect"), exist_ok=True)
    os.makedirs(os.path.join(o.out, "vaeguard"), exist_ok=True)
    x, y = rows.role(spec, "test", o.data)
    attacks = {}
    for item in o.adv:
        key, _, path = item.rpartition("=")
        attacks[key or os.path.splitext(os.path.basename(path))[0]] = rows.adversarial(path, x)
    model = nets.classifier(spec, directory, x.shape[1:])
    for key, a in attacks.items():
        for what, want in (("x", "predicted"), ("x_adv", "predicted_adv")):
            differ = int((nets.probabilities(model, a[what], BATCH).argmax(-1) != a[want]).sum())
            print(f"classifier in Keras, {key} {what}: {differ} of {len(a[want])} predictions differ", flush=True)
            # Attacks that seek the nearest change end on the boundary, where rounding decides.
            if what == "x" and differ > 0.001 * len(a[want]) + 1:
                sys.exit(f"{a['path']} is of another classifier")
    lines = [f"alibi-detect {alibi_detect.__version__}, TensorFlow {tf.__version__}, numpy {np.__version__}\n"]
    if "exact" in o.parts:
        sets = {"clean": x[:o.limit], **{k: a["x_adv"][:o.limit] for k, a in attacks.items()}}
        result = exact(o, spec, directory, nets, model, sets)
        write(o, "exact.json", result)
        lines.append(exact_table(result))
    if "train" in o.parts:
        lines.append(side_by_side(o, spec, directory, nets, model, x, y, attacks))
    if "time" in o.parts:
        result = steps(o, spec, nets, model, rows.role(spec, "train", o.data)[0])
        write(o, "time.json", result)
        lines.append("A training step of {batch} rows on {threads} thread(s), medians of {rounds} rounds in turns: alibi-detect {alibi_detect_ms:.1f} ms "
                     "(processor {alibi_detect_cpu_ms:.1f} ms), vaeguard {vaeguard_ms:.1f} ms, ratio {ratio:.1f}.\n".format(**result))
    with open(os.path.join(o.out, "summary.md"), "w", encoding="utf-8") as f:
        f.write("\n".join(lines))
    print("\n".join(lines))


def side_by_side(o, spec, directory, nets, model, x, y, attacks):
    detector, done = trained(o, spec, nets, model, rows.role(spec, "train", o.data)[0])
    calibration, _ = rows.role(spec, "calibration", o.data)
    detector.infer_threshold(calibration, threshold_perc=o.percentile, batch_size=BATCH)

    def theirs(v):
        begin = time.perf_counter()
        r = detector.correct(v, batch_size=BATCH)["data"]
        return r, (time.perf_counter() - begin) / len(v) * 1e3

    def ours(v):
        r, seconds = detect(o, directory, v)
        return r, seconds * 1e3

    with open(os.path.join(directory, "meta.json"), encoding="utf-8") as f:
        threshold = json.load(f)["threshold"]
    reports = [judge("alibi-detect", "alibi-detect 0.11.4 AdversarialAE", float(detector.threshold), len(calibration), done["seconds"], theirs, x, y, attacks, o.out),
               judge("vaeguard", "ae", threshold["value"] if isinstance(threshold, dict) else threshold, len(calibration), None, ours, x, y, attacks, o.out)]
    return (f"alibi-detect's training: {done['epochs']} epochs of {done['rows']} rows, batch {done['batch_size']}, {done['seconds']:.0f} s "
            f"(processor {done['cpu_seconds']:.0f} s) on {done['threads']} thread(s).\n\n" + figures.table(reports))


def exact_table(result):
    lines = ["The same auto-encoder in both: largest differences.\n",
             "| rows | n | P | Q | reconstruction | labels differ | scores, exact: same | max. relative | scores, clipped: same | max. relative |", "|---|---|---|---|---|---|---|---|---|---|"]
    for k, r in result.items():
        s, c = r["score"], r["score_clipped"]
        lines.append(f"| {k} | {s['n']} | {r['probabilities']:.1e} | {r['probabilities_reconstructed']:.1e} | {r['reconstruction']:.1e} | "
                     f"{r['predicted_differ']} + {r['reconstructed_differ']} | {s['same']} | {s['max_relative']:.1e} | {c['same']} | {c['max_relative']:.1e} |")
    return "\n".join(lines) + "\n"


def write(o, name, what):
    with open(os.path.join(o.out, name), "w", encoding="utf-8") as f:
        json.dump(what, f, indent=2)


if __name__ == "__main__":
    main()
