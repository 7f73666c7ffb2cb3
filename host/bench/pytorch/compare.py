#!/usr/bin/env python3
"""Compare `vaeguard bench` with PyTorch on the same networks, side by side.

    /usr/bin/python3 host/bench/pytorch/compare.py --vaeguard ./vaeguard --rounds 5

Both sides take turns, round by round, on the networks of
specs/bench-{conv,dense,tabular}.yaml: training steps, and encoding plus
decoding of batches of 64 and 1. PyTorch runs as a process of its own per number
of threads, with the settings that make it fastest here: OPENBLAS_CORETYPE and
ATEN_CPU_CAPABILITY for AVX-512 where the processor has it, and, chosen by a
trial, channels_last or not and Adam's foreach form or not. The table has
medians over rounds of each round's best, their ratio, and the medians of the
ratios of each round's median and of its processor time, which on one thread a
busy machine does not stretch. Nothing here is part of the tests.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..")
BATCH = {"bench-conv": 64, "bench-dense": 128, "bench-tabular": 64}
INPUT = {"bench-conv": (3, 32, 32), "bench-dense": (784,), "bench-tabular": (24,)}
LATENT = {"bench-conv": 1024, "bench-dense": 40, "bench-tabular": 8}


def worker(threads):
    """Answer lines "NETWORK SECONDS" with a line of JSON each."""
    import torch
    from torch import nn

    torch.set_num_threads(threads)

    class VAE(nn.Module):
        def __init__(self, encoder, code, latent, decoder):
            super().__init__()
            self.encoder, self.decoder = encoder, decoder
            self.mean, self.log_var = nn.Linear(code, latent), nn.Linear(code, latent)

        def forward(self, x, eps):
            h = self.encoder(x)
            mean, log_var = self.mean(h), self.log_var(h)
            return self.decoder(mean + torch.exp(0.5 * log_var) * eps)

    def network(name):
        if name == "bench-conv":
            encoder = nn.Sequential(
                nn.Conv2d(3, 64, 4, 2, 1), nn.ReLU(), nn.Conv2d(64, 128, 4, 2, 1), nn.ReLU(),
                nn.Conv2d(128, 512, 4, 2, 1), nn.ReLU(), nn.Flatten())
            decoder = nn.Sequential(
                nn.Linear(1024, 2048), nn.Unflatten(1, (128, 4, 4)),
                nn.ConvTranspose2d(128, 256, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(256, 64, 4, 2, 1), nn.ReLU(),
                nn.ConvTranspose2d(64, 3, 4, 2, 1), nn.Sigmoid())
            return VAE(encoder, 8192, 1024, decoder)
        if name == "bench-dense":
            return VAE(nn.Sequential(nn.Linear(784, 400), nn.ReLU()), 400, 40,
                       nn.Sequential(nn.Linear(40, 400), nn.ReLU(), nn.Linear(400, 784), nn.Sigmoid()))
        return VAE(nn.Sequential(nn.Linear(24, 32), nn.ReLU()), 32, 8,
                   nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 24)))

    class Bench:
        def __init__(self, name, last, foreach):
            torch.manual_seed(0)
            self.last = last
            self.format = torch.channels_last if last else torch.contiguous_format
            self.model = network(name)
            if last:
                self.model = self.model.to(memory_format=self.format)
            self.adam = torch.optim.Adam(self.model.parameters(), lr=1e-3, eps=1e-7, foreach=foreach)
            self.x = {n: self.rows(name, n) for n in {BATCH[name], 64, 1}}
            self.latent, self.batch = LATENT[name], BATCH[name]
            self.params = sum(p.numel() for p in self.model.parameters())

        def rows(self, name, n):
            x = torch.rand(n, *INPUT[name])
            return x.to(memory_format=self.format) if self.last else x

        def train(self):
            x = self.x[self.batch]
            self.adam.zero_grad(set_to_none=True)
            loss = nn.functional.mse_loss(self.model(x, torch.randn(self.batch, self.latent)), x)
            loss.backward()
            self.adam.step()

        def score(self, n):
            with torch.inference_mode():
                self.model(self.x[n], torch.randn(n, self.latent))

    def clock(f, seconds):
        f()
        times, busy, end = [], [], time.perf_counter() + seconds
        while len(times) < 3 or time.perf_counter() < end:
            start, cpu = time.perf_counter(), time.process_time()
            f()
            times.append(time.perf_counter() - start)
            busy.append(time.process_time() - cpu)
        return {"ms": statistics.median(times) * 1e3, "best_ms": min(times) * 1e3, "cpu_ms": statistics.median(busy) * 1e3}

    benches = {}

    def best(name):
        if name not in benches:
            options = [(l, f) for l in ([True, False] if name == "bench-conv" else [False]) for f in (False, True)]
            trials = []
            for last, foreach in options:
                b = Bench(name, last, foreach)
                trials.append((clock(b.train, 1.0)["best_ms"], last, foreach, b))
            benches[name] = min(trials, key=lambda t: t[0])
        return benches[name]

    for line in sys.stdin:
        name, seconds = line.split()
        _, last, foreach, b = best(name)
        s = float(seconds)
        print(json.dumps({
            "train": clock(b.train, 2 * s), **{f"score_{n}": clock(lambda n=n: b.score(n), s) for n in sorted(b.x, reverse=True)},
            "settings": {"torch": torch.__version__, "channels_last": last, "foreach": foreach, "params": b.params}}), flush=True)


class Torch:
    def __init__(self, python, threads):
        flags = open("/proc/cpuinfo").read() if os.path.exists("/proc/cpuinfo") else ""
        wide = "avx512f" in flags
        env = dict(os.environ, OMP_NUM_THREADS=str(threads), OPENBLAS_NUM_THREADS=str(threads),
                   OPENBLAS_CORETYPE="SkylakeX" if wide else "Haswell",
                   ATEN_CPU_CAPABILITY="avx512" if wide else "avx2")
        self.p = subprocess.Popen([python, os.path.abspath(__file__), "--worker", str(threads)], env=env,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, name, seconds):
        self.p.stdin.write(f"{name} {seconds}\n")
        self.p.stdin.flush()
        return json.loads(self.p.stdout.readline())

    def close(self):
        self.p.stdin.close()
        self.p.wait()


def vaeguard(binary, name, threads, seconds):
    out = subprocess.run([binary, "bench", os.path.join(ROOT, "specs", name + ".yaml"), "--json", "--quiet", "--steps-only",
                          "--threads", str(threads), "--seconds", str(seconds)], check=True, capture_output=True, text=True).stdout
    r = json.loads(out)
    return {"train": r["train_step"], **{"score_" + n: v for n, v in r["score"].items()}, "peak": r["fma_peak_gflops"],
            "settings": {"params": r["train_step"]["params"]}}


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--vaeguard", default="vaeguard")
    a.add_argument("--python", default=sys.executable)
    a.add_argument("--rounds", type=int, default=5)
    a.add_argument("--seconds", type=float, default=1.0, help="of each measurement in a round")
    a.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    a.add_argument("--networks", nargs="+", default=list(BATCH))
    a.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    o = a.parse_args()
    if o.worker:
        return worker(o.worker)
    print("| network | threads | what | PyTorch ms | vaeguard ms | ratio | of medians | of processor time |\n|---|---|---|---|---|---|---|---|")
    for name in o.networks:
        for threads in o.threads:
            torch = Torch(o.python, threads)
            torch.run(name, 0.1)  # choose the settings
            rounds = []
            for _ in range(o.rounds):
                rounds.append((torch.run(name, o.seconds), vaeguard(o.vaeguard, name, threads, o.seconds)))
            torch.close()
            t, v = rounds[0][0]["settings"], rounds[0][1]["settings"]
            if t["params"] != v["params"]:
                sys.exit(f"{name}: {t['params']} params in PyTorch, {v['params']} in vaeguard")
            for what in [k for k in rounds[0][0] if k != "settings"]:
                def mid(side, key):
                    return statistics.median(r[side][what][key] for r in rounds)
                print(f"| {name} | {threads} | {what} | {mid(0, 'best_ms'):.3f} | {mid(1, 'best_ms'):.3f} | "
                      f"{mid(1, 'best_ms') / mid(0, 'best_ms'):.2f} | "
                      + " | ".join(f"{statistics.median(r[1][what][key] / r[0][what][key] for r in rounds):.2f}" for key in ("ms", "cpu_ms"))
                      + " |", flush=True)
            print(f"<!-- {name}, {threads} threads: {t}, peak {statistics.median(r[1]['peak'] for r in rounds):.0f} GFLOP/s -->", flush=True)


if __name__ == "__main__":
    main()
