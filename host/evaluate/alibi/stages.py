#!/usr/bin/env python3
"""Time and memory of alibi-detect's AdversarialAE and vaeguard's, stage by stage, from the start of Python.

    python stages.py --vaeguard ./vaeguard --alibi ~/venv-alibi/bin/python [OTHER/bin/python …]

Each interpreter that --alibi names has alibi-detect and TensorFlow; the first also runs vaeguard. All sides get the same rows
of Fashion-MNIST, the same classifier with the same weights, trained briefly, an auto-encoder of the same layers (those of
specs/tracks/fashion.yaml, the encoder with a dense layer of 50 at its end), the same epochs and batches, and run the same code but for the import:

first   from the start of the process to the verdict on one row: imports, the classifier, the saved detector
train   fit
row     predict of one row, by the process that has given its first verdict: the median of many calls
score   predict of many rows by the same process
rest    its memory a second after, when nothing is asked

Sides take turns. A stage is measured in wall-clock seconds, in seconds of processor time and in the most memory that was
resident at once, each with the process's children. Linux alone: the numbers are those of /proc.
"""
import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.normpath(os.path.join(HERE, "..", "..", ".."))
BATCH = 500     # rows that alibi-detect scores together; its default, all of them, would take tens of GB
EVERY = 0.025   # seconds between two looks at memory
FAMILY = 0.2    # and at which processes there are
TICK, PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
KERAS, PLUGIN = "vaeguard, the Keras model", "vaeguard, plugin cnn"
CALLS = 100     # of one row
STAGES = {"first": "start to first verdict", "train": "training", "row": "one row", "score": "scoring", "rest": "at rest"}


def family(root):
    """Seconds of processor time of each process from root down, with those of children that have ended."""
    parents, cpu = {}, {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as f:
                    fields = f.read().rpartition(b") ")[2].split()
            except OSError:  # it has ended
                continue
            parents[int(name)], cpu[int(name)] = int(fields[1]), sum(map(int, fields[11:15])) / TICK
    found, new = {}, [root]
    while new:
        pid = new.pop()
        if pid in cpu:
            found[pid] = cpu[pid]
        new += [p for p, parent in parents.items() if parent == pid]
    return found


def resident(pid):
    try:
        with open(f"/proc/{pid}/statm", "rb") as f:
            return int(f.read().split()[1]) * PAGE
    except OSError:
        return 0


class Watch(threading.Thread):
    """Looks at the memory of a process and its children until it is stopped."""

    def __init__(self, root):
        super().__init__(daemon=True)
        self.root, self.samples, self.done = root, [], threading.Event()

    def run(self):
        pids, looked = [self.root], 0.0
        while not self.done.wait(EVERY):
            now = time.monotonic()
            if now - looked > FAMILY:
                pids, looked = list(family(self.root)), now
            self.samples.append((now, sum(map(resident, pids))))

    def peak(self, begin, end):
        return max((size for at, size in self.samples if begin <= at <= end + 2 * EVERY), default=0)


def child(o, side, part, interpreter, work):
    """Runs a part of a side in a process of its own: {stage: {"wall", "cpu", "memory"}}, and what the part told."""
    r, w = os.pipe()
    env = {**os.environ, "TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "PYTHONDONTWRITEBYTECODE": "1",
           "PYTHONPATH": os.path.join(ROOT, "sdk", "python"), "VAEGUARD_BINARY": os.path.abspath(o.vaeguard)}
    args = [interpreter, os.path.abspath(__file__), "--part", part, "--side", side, "--work", work, "--marks", str(w), "--threads", str(o.threads),
            "--epochs", str(o.epochs), "--rows", str(o.rows), "--score", str(o.score), "--batch-size", str(o.batch_size)]
    if o.data:
        args += ["--data", o.data]
    began = time.monotonic()
    p = subprocess.Popen(args, env=env, pass_fds=[w], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    os.close(w)
    watch = Watch(p.pid)
    watch.start()
    printed = threading.Thread(target=lambda: setattr(p, "printed", p.stdout.read()), daemon=True)
    printed.start()
    with os.fdopen(r, encoding="utf-8") as f:
        marks = {m["mark"]: m for m in map(json.loads, f)}
    code = p.wait()
    watch.done.set()
    watch.join()
    printed.join()
    if code:
        sys.exit(f"{side}, {part}: exit code {code}\n{p.printed[-4000:]}")
    marks["start"] = {"at": began, "cpu": 0}
    out = {}
    for stage, begin, end in (("first", "start", "first"), ("train", "train", "trained"), ("row", "first", "rows"), ("score", "rows", "scored"), ("rest", "resting", "rested")):
        if end in marks:
            a, b = marks[begin], marks[end]
            out[stage] = {"wall": b["at"] - a["at"], "cpu": b["cpu"] - a["cpu"], "memory": watch.peak(a["at"], b["at"])}
            if stage == "row":
                out[stage].update(wall=b["told"].pop("median"), cpu=out[stage]["cpu"] / CALLS)
    return out, {k: v for m in marks.values() for k, v in m.get("told", {}).items()}


# What children do.


def run(o):
    marks = os.fdopen(o.marks, "w", encoding="utf-8")

    def mark(name, **told):
        print(json.dumps({"mark": name, "cpu": sum(family(os.getpid()).values()), "at": time.monotonic(), "told": told}), file=marks, flush=True)

    def path(*names):
        return os.path.join(o.work, *names)

    if o.part == "prepare":
        prepare(o, path)
        return
    ours, light = o.side in (KERAS, PLUGIN), o.side == PLUGIN
    if not light:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(o.threads)
        tf.config.threading.set_inter_op_parallelism_threads(o.threads)
    if ours:
        from vaeguard.detect import AdversarialAE, load_detector, save_detector

        version = "this tree"
    else:
        import alibi_detect
        from alibi_detect.ad import AdversarialAE
        from alibi_detect.saving import load_detector, save_detector

        version = alibi_detect.__version__

    def model():
        if light:
            with open(path("section.json"), encoding="utf-8") as f:
                return json.load(f)
        return tf.keras.models.load_model(path("classifier.h5"))

    def nets():
        if light:
            with open(path("nets.json"), encoding="utf-8") as f:
                return json.load(f)
        return [tf.keras.models.load_model(path(name + ".h5"), compile=False) for name in ("encoder", "decoder")]

    saved = path("detector of " + o.side)
    if o.part == "train":
        encoder, decoder = nets()
        ad = AdversarialAE(encoder_net=encoder, decoder_net=decoder, model=model(), **({"threads": o.threads} if ours else {}), **({"latent_dim": 50} if light else {}))
        x = np.load(path("train.npy"))
        mark("train", version=version, tensorflow=None if light else tf.__version__)
        ad.fit(x, epochs=o.epochs, batch_size=o.batch_size, verbose=False)
        mark("trained")
        ad.infer_threshold(np.load(path("calibration.npy")), threshold_perc=95, batch_size=BATCH)
        shutil.rmtree(saved, ignore_errors=True)
        save_detector(ad, saved)
        return
    x = np.load(path("test.npy"))
    ad = load_detector(saved, **({"model": model()} if ours and not light else {}))
    ad.predict(x[:1])
    mark("first")
    times = []
    for i in range(CALLS):
        began = time.monotonic()
        ad.predict(x[i:i + 1])
        times.append(time.monotonic() - began)
    mark("rows", median=statistics.median(times))
    flagged = ad.predict(x, batch_size=BATCH)["data"]["is_adversarial"]
    mark("scored", flagged=float(flagged.mean()))
    time.sleep(1)
    mark("resting")
    time.sleep(1)
    mark("rested")


def prepare(o, path):
    """Rows, a classifier and networks that all sides share."""
    import tensorflow as tf
    import yaml
    from safetensors.numpy import save_file

    import networks
    import rows

    with open(os.path.join(ROOT, "specs", "tracks", "fashion.yaml"), encoding="utf-8") as f:
        spec = yaml.safe_load(f)
    x, y = rows.role(spec, "train", o.data)
    np.save(path("train.npy"), x[:o.rows])
    np.save(path("calibration.npy"), rows.role(spec, "calibration", o.data)[0][:500])
    np.save(path("test.npy"), rows.role(spec, "test", o.data)[0][:o.score])
    tf.keras.utils.set_random_seed(1)
    layers, encoder = spec["classifier"]["config"]["layers"], [*spec["vae"]["encoder"], "flatten", {"dense": {"units": 50}}]
    head = networks.sequential(x.shape[1:], layers, tf.keras.layers.Dense(10))
    model = tf.keras.Sequential([tf.keras.layers.InputLayer(x.shape[1:]), *head.layers, tf.keras.layers.Softmax()])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x[:5000], y[:5000], epochs=1, batch_size=128, verbose=0)
    model.save(path("classifier.h5"))
    save_file(networks.values(head, ""), path("classifier.safetensors"))
    with open(path("section.json"), "w", encoding="utf-8") as f:
        json.dump({"plugin": "cnn", "config": {"layers": layers, "range": [0, 1], "classes": 10, "weights": path("classifier.safetensors")}}, f)
    with open(path("nets.json"), "w", encoding="utf-8") as f:
        json.dump([encoder, spec["vae"]["decoder"]], f)
    networks.sequential(x.shape[1:], encoder).save(path("encoder.h5"))
    networks.sequential((50,), spec["vae"]["decoder"]).save(path("decoder.h5"))


# The parent.


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        names = [line.partition(":")[2].strip() for line in f if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {len(os.sched_getaffinity(0))} cores"


def table(results, o):
    lines = ["| stage | side | wall, s | processor, s | peak memory, MB |", "|---|---|---|---|---|"]
    for stage, what in STAGES.items():
        what += {"train": f" ({o.rows:,} rows, {o.epochs} epochs)", "score": f" {o.score:,} rows"}.get(stage, "")
        for side, rounds in results.items():
            m = {k: [r[stage][k] for r in rounds] for k in ("wall", "cpu", "memory")}
            digits = 4 if stage == "row" else 2
            wall, cpu = (f"{statistics.median(m[k]):.{digits}f} ({min(m[k]):.{digits}f}–{max(m[k]):.{digits}f})" if stage != "rest" else "" for k in ("wall", "cpu"))
            lines.append(f"| {what} | {side} | {wall} | {cpu} | {max(m['memory']) / 1e6:.0f} |")
    return "\n".join(lines)


def options():
    a = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    a.add_argument("--alibi", nargs="+", metavar="PYTHON", help="interpreters with alibi-detect and TensorFlow")
    a.add_argument("--vaeguard", default="vaeguard", help="the program")
    a.add_argument("--data", help="folder of the IDX files")
    a.add_argument("--rounds", type=int, default=3)
    a.add_argument("--rows", type=int, default=10000, help="to train on")
    a.add_argument("--score", type=int, default=10000, help="rows to score")
    a.add_argument("--epochs", type=int, default=1)
    a.add_argument("--batch-size", type=int, default=64, help="of the training")
    a.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    a.add_argument("--out", help="JSON file for what was measured")
    for name in ("part", "side", "work"):
        a.add_argument("--" + name, help=argparse.SUPPRESS)
    a.add_argument("--marks", type=int, help=argparse.SUPPRESS)
    o = a.parse_args()
    if not o.part and not o.alibi:
        a.error("want --alibi PYTHON")
    return o


def main():
    o = options()
    if o.part:
        run(o)
        return
    results, told = {}, {}
    with tempfile.TemporaryDirectory() as work:
        child(o, "", "prepare", o.alibi[0], work)
        sides = [(f"alibi-detect {i}", p) for i, p in enumerate(o.alibi)] + [(KERAS, o.alibi[0]), (PLUGIN, o.alibi[0])]
        began = os.getloadavg()[0]
        for i in range(o.rounds):
            for side, python in sides:
                one, said = child(o, side, "train", python, work)
                two, more = child(o, side, "score", python, work)
                name = side if side in (KERAS, PLUGIN) else f"alibi-detect {said['version']}"
                told[name] = {**said, **more}
                results.setdefault(name, []).append({**one, **two})
                print(f"round {i + 1}, {name}: " + ", ".join(f"{k} {v['wall']:.2f} s (processor {v['cpu']:.2f} s), {v['memory'] / 1e6:.0f} MB"
                                                             for k, v in results[name][-1].items()), file=sys.stderr, flush=True)
    print(f"{machine()}, {o.threads} threads, load average {began:.1f} before and {os.getloadavg()[0]:.1f} after; medians of {o.rounds} rounds (least–most), "
          f"the most of memory. " + "; ".join(f"{k}: TensorFlow {v['tensorflow'] or 'not loaded'}, {v['flagged']:.3f} of the rows flagged" for k, v in told.items()) + ".\n")
    print(table(results, o))
    if o.out:
        with open(o.out, "w", encoding="utf-8") as f:
            json.dump({"machine": machine(), "options": vars(o), "told": told, "rounds": results}, f, indent=2)


if __name__ == "__main__":
    main()
