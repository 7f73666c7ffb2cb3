#!/usr/bin/env python3
"""Measure every row of the performance targets, and print the table.

    go build -o vaeguard ./host/cmd/vaeguard
    /usr/bin/python3 host/bench/table.py --vaeguard ./vaeguard --minutes 9

Run it on a machine with nothing else to do, with a Python that has torch;
without torch, or with --no-torch, the rows that compare are left out. The
comparisons go round by round, vaeguard and PyTorch in turns, until half of the
minutes is over; then comes the rest, each measurement by a process of its
own. Shares are those of the multiply-add peak that the same process measured.
A figure is of the fastest rounds on both sides, the median's in brackets.
"Met" is judged by the first. --json keeps all that was measured.
"""
import argparse
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")

spec = importlib.util.spec_from_file_location("compare", os.path.join(HERE, "pytorch", "compare.py"))
compare = importlib.util.module_from_spec(spec)
spec.loader.exec_module(compare)

NETWORKS = ["bench-conv", "bench-dense", "bench-tabular"]
BOUNDARIES = {"mnist-cnn": 1.10, "breast-cancer-mlp": None}
LARGE, HUGE = 10e6, 100e6  # floating-point operations of a product


def say(text):
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def bench(o, name, threads, seconds, *flags, level=None):
    env = dict(os.environ)
    if level:
        env["VAEGUARD_KERNEL"] = level
    say(f"{name}, {threads} threads, {level or 'best level'} {' '.join(flags)}")
    p = subprocess.run([o.vaeguard, "bench", os.path.join(ROOT, "specs", name + ".yaml"), "--json", "--quiet",
                        "--threads", str(threads), "--seconds", str(seconds), *flags], env=env, capture_output=True, text=True, timeout=240)
    if p.returncode != 0:
        say(f"{name}: {p.stderr.strip()}")
        return None
    return json.loads(p.stdout)


def has_torch(python):
    return subprocess.run([python, "-c", "import torch"], capture_output=True).returncode == 0


def comparisons(o, end):
    """Rounds of both sides in turns: {(network, threads): [(torch, vaeguard), ...]}"""
    pairs = {(n, t): [] for n in NETWORKS for t in ([1, 2] if n == "bench-conv" else [1])}
    sides = {t: compare.Torch(o.python, t) for t in {t for _, t in pairs}}
    longest = 0.0
    for turn in range(o.rounds):
        start = time.time()
        for (name, threads), rounds in pairs.items():
            if time.time() > end:
                break
            say(f"{name}, {threads} threads, against PyTorch, round {turn + 1}")
            theirs = sides[threads].run(name, o.seconds)
            rounds.append((theirs, compare.vaeguard(o.vaeguard, name, threads, o.seconds)))
            a, b = theirs["settings"]["params"], rounds[-1][1]["settings"]["params"]
            if a != b:
                sys.exit(f"{name}: {a} params in PyTorch, {b} in vaeguard")
        longest = max(longest, time.time() - start)
        if time.time() + longest > end:
            break
    for side in sides.values():
        side.close()
    return pairs


class Table:
    def row(self, what, figure, must="", aim="", met=None):
        word = {None: "", True: "yes", False: "**no**"}[met]
        print(f"| {what} | {figure} | {must} | {aim} | {word} |", flush=True)

    def ratio(self, what, rounds, key, must, aim):
        """Time against PyTorch."""
        if not rounds:
            return self.row(what, "not measured", f"≤ {must}", f"{aim}")
        best = [min(r[i][key]["best_ms"] for r in rounds) for i in (0, 1)]
        mid = statistics.median(r[1][key]["ms"] / r[0][key]["ms"] for r in rounds)
        r = best[1] / best[0]
        self.row(what, f"{r:.2f}: {best[1]:.3g} against {best[0]:.3g} ms ({mid:.2f})", f"≤ {must}", f"{aim}", r <= must)


def flop(p):
    return 2 * p["m"] * p["n"] * p["k"]


def merged(results):
    """The products of several runs: the best of the best, the median of the medians."""
    all = {}
    for r in results:
        for p in r["gemm"] if r else []:
            all.setdefault((p["m"], p["n"], p["k"], p["pass"]), []).append(p)
    return [dict(ps[0], best_share=max(p["best_share"] for p in ps), share=statistics.median(p["share"] for p in ps),
                 speedup=statistics.median(p["speedup"] for p in ps)) for ps in all.values()]


def shape(p):
    return f"{p['m']}×{p['n']}×{p['k']}"


def spread(products, key):
    least = min(products, key=lambda p: p[key])
    return statistics.median(p[key] for p in products), least[key], shape(least)


def shares(table, what, products, must, median, aim):
    products = [p for p in products if flop(p) >= LARGE]
    want = f"≥ {must} each" + (f", ≥ {median} median" if median else "")
    if not products:
        return table.row(what, "not measured", want, f"{aim}")
    mid, least, where = spread(products, "best_share")
    low = [p for p in products if p["best_share"] < must]
    figure = f"{len(products)} shapes: median {mid:.2f} ({spread(products, 'share')[0]:.2f}), least {least:.2f} ({spread(products, 'share')[1]:.2f}) at {where}"
    if len(low) > 1:
        figure += "; below: " + ", ".join(f"{shape(p)} {p['best_share']:.2f}" for p in low)
    table.row(what, figure, want, f"{aim}", least >= must and mid >= (median or 0))


def small(o):
    """The share of 64×20×32 (m×k×n), by the kernel's own benchmark; None without Go."""
    if not shutil.which("go"):
        return None
    say("64×20×32")
    p = subprocess.run(["go", "test", "-run", "^$", "-bench", "^BenchmarkGemm$/^avx512$/^tabular$", "-count", "3", "./host/kernel"],
                       cwd=ROOT, capture_output=True, text=True, timeout=200)
    found = [float(line.split("best/peak")[0].split()[-1]) for line in p.stdout.splitlines() if "best/peak" in line]
    return max(found) if found else None


def measure(o):
    start = time.time()
    end = start + 60 * o.minutes
    data = {"tiny": small(o), "versus": {}, "one": {n: [] for n in NETWORKS}, "two": [], "avx2": {n: [] for n in NETWORKS[:2]},
            "boundary": {n: [] for n in BOUNDARIES}}
    if o.no_torch or not has_torch(o.python):
        say("without PyTorch")
    else:
        data["versus"] = {f"{n}/{t}": rounds for (n, t), rounds in comparisons(o, start + 30 * o.minutes).items()}
    plan = [(data["one"][n], n, 1, o.seconds, [], None) for n in NETWORKS]
    plan += [(data["boundary"][n], n, 1, 3 * o.seconds, ["--steps-only"], None) for n in BOUNDARIES]
    plan += [(data["two"], "bench-conv", 2, o.seconds, [], None)]
    plan += [(data["avx2"][n], n, 1, o.seconds, [], "avx2") for n in NETWORKS[:2]]
    plan += [(data["boundary"]["mnist-cnn"], "mnist-cnn", 2, 3 * o.seconds, ["--steps-only"], None)]
    for turn in range(3):  # once whatever the time, then again while there is some
        for to, name, threads, seconds, flags, level in plan:
            if turn == 0 or time.time() < end - 30:
                r = bench(o, name, threads, seconds, *flags, level=level)
                to.extend([r] if r else [])
    say(f"{(time.time() - start) / 60:.1f} minutes")
    return data


def engine(table, data):
    """The rows of one process."""
    done = [r for n in NETWORKS for r in data["one"][n]]
    shares(table, "SGEMM, one thread, share of the peak, products ≥ 10 MFLOP", merged(done), 0.80, 0.88, 0.92)
    tiny = data["tiny"]
    table.row("64×20×32", f"{tiny:.2f}" if tiny else "not measured", "≥ 0.80", "0.90", tiny >= 0.80 if tiny else None)
    shares(table, "AVX2 level, share of the AVX2 peak, products ≥ 10 MFLOP", merged(data["avx2"]["bench-conv"] + data["avx2"]["bench-dense"]), 0.85, None, 0.95)
    huge = [p for p in merged(data["two"]) if flop(p) >= HUGE]
    if huge:
        mid, least, where = spread(huge, "speedup")
        table.row("two threads over one, products ≥ 100 MFLOP", f"median {mid:.2f}, least {least:.2f} at {where}", "≥ 1.75", "1.9", least >= 1.75)
    convs = {}
    for r in data["one"]["bench-conv"]:
        for layer in r["layers"]:
            if "conv2d" in layer["name"] and layer["mflop"] > 1000:  # 64 channels or more on both sides
                convs.setdefault(layer["name"], []).append(layer)
    if convs:
        best = {n: max(layer["best_share"] for layer in ls) for n, ls in convs.items()}
        mid = {n: statistics.median(layer["share"] for layer in ls) for n, ls in convs.items()}
        table.row("conv layer forward + backward, ≥ 64 channels", ", ".join(f"{n.split('/')[1]} {v:.2f} ({mid[n]:.2f})" for n, v in best.items()),
                  "≥ 0.85", "0.90", min(best.values()) >= 0.85)
    steps = data["one"]["bench-conv"]
    if steps:
        fast = min(r["train_step"]["best_ms"] for r in steps)
        t = steps[0]["train_step"]
        share = t["mflop_per_image"] * t["batch"] / fast / max(r["fma_peak_gflops"] for r in steps)
        table.row("conv VAE step, one thread, share of the peak", f"{share:.2f}: {fast:.0f} ms ({statistics.median(r['train_step']['share'] for r in steps):.2f})",
                  "≥ 0.71", "0.79", share >= 0.71)


def report(data):
    print("| what | figure | must | aim | met |\n|---|---|---|---|---|")
    table = Table()
    engine(table, data)
    conv, conv2, dense, tabular = (data["versus"].get(k) for k in ("bench-conv/1", "bench-conv/2", "bench-dense/1", "bench-tabular/1"))
    table.ratio("conv VAE step, one thread, against PyTorch", conv, "train", 0.45, 0.40)
    table.ratio("conv VAE step, two threads, against PyTorch", conv2, "train", 0.35, 0.31)
    table.ratio("conv VAE scoring, batch 64", conv, "score_64", 0.65, 0.6)
    table.ratio("conv VAE scoring, batch 1", conv, "score_1", 0.6, 0.3)
    table.ratio("dense VAE step, batch 128", dense, "train", 0.7, 0.55)
    table.ratio("dense VAE inference, batch 128", dense, "score_128", 1.0, 0.8)
    table.ratio("tabular step, batch 64", tabular, "train", 0.15, 0.08)
    for name, must in BOUNDARIES.items():
        for threads in (1, 2):
            rs = [r["boundary"] for r in data["boundary"][name] if r["threads"] == threads and r["boundary"]]
            if rs:
                ratio = statistics.median(b["ratio"] for b in rs)
                table.row(f"plugin boundary, {name}, {threads} thread{'s' * (threads > 1)}: step with a subprocess over in process",
                          f"{ratio:.2f}: {min(b['subprocess_ms'] for b in rs):.3g} against {min(b['in_process_ms'] for b in rs):.3g} ms",
                          f"≤ {must:.2f}" if must else "", "1.03" if must else "", ratio <= must if must else None)
    for threads in (1, 2):
        rs = [r["train_step"] for r in data["boundary"]["mnist-cnn"] if r["threads"] == threads]
        if rs:
            table.row(f"mnist-cnn, {threads} thread{'s' * (threads > 1)}, ms per step with the classifier as a subprocess (AdversarialVAE published 322 and 261)",
                      f"{min(t['best_ms'] for t in rs):.0f} ({statistics.median(t['ms'] for t in rs):.0f})")
    allocs = {n: min(r["allocs_per_step"] for r in rs) for n, rs in {**data["one"], **data["boundary"]}.items() if rs}
    table.row("allocations per training step in the engine", ", ".join(f"{n} {v:g}" for n, v in allocs.items()), "0", "", not any(allocs.values()))
    peaks = [r["fma_peak_gflops"] for rs in data["one"].values() for r in rs]
    if peaks:
        print(f"\nPeak {statistics.median(peaks):.0f} GFLOP/s a core, {min(peaks):.0f} to {max(peaks):.0f} in {len(peaks)} runs"
              + (f"; {len(conv)} rounds against PyTorch {conv[0][0]['settings']['torch']}" if conv else "") + ".")


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--vaeguard", default="vaeguard")
    a.add_argument("--python", default=sys.executable, help="a Python with torch")
    a.add_argument("--no-torch", action="store_true")
    a.add_argument("--minutes", type=float, default=9)
    a.add_argument("--rounds", type=int, default=5, help="of the comparisons, at most")
    a.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    a.add_argument("--json", help="write all that was measured to this file")
    a.add_argument("--load", help="print the table of such a file, measure nothing")
    o = a.parse_args()
    if o.load:
        with open(o.load) as f:
            return report(json.load(f))
    o.vaeguard = os.path.abspath(shutil.which(o.vaeguard) or sys.exit(f"{o.vaeguard}: no such program"))
    data = measure(o)
    if o.json:
        with open(o.json, "w") as f:
            json.dump(data, f)
    report(data)


if __name__ == "__main__":
    main()
