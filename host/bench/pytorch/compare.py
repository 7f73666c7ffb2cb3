#!/usr/bin/env python3
"""Compare `vaeguard bench` with PyTorch on the same networks, side by side.

    /usr/bin/python3 host/bench/pytorch/compare.py --vaeguard ./vaeguard --rounds 5

Both sides take turns, round by round, on the networks of
specs/bench-{conv,dense,tabular}.yaml: training steps, and encoding plus
decoding of batches of 64 and 1; and on the jobs of specs/fashion-cnn.yaml, with
its classifier: steps, plain or hardened as the spec says, and the scoring of 256
rows with ten samples each, where vaeguard asks a process of its own for the
classifier and PyTorch has it at hand. PyTorch runs as a process of its own per number
of threads, with the settings that make it fastest here: OPENBLAS_CORETYPE and
ATEN_CPU_CAPABILITY for AVX-512 where the processor has it, and, chosen by a
trial, channels_last or not, Adam's foreach form or not, and from PyTorch 2 on
torch.compile or not. With --bf16 it also runs under autocast to bfloat16, compiled
or not, beside vaeguard in float32 and, in rows of their own, with precision bf16. The table has
medians over rounds of each round's best, their ratio, and the medians of the
ratios of each round's median and of its processor time, which on one thread a
busy machine does not stretch (of the jobs vaeguard's classifier is not in it). Nothing here is part of the tests.
"""
import contextlib
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..")
PLAIN, HARDENED = "fashion-cnn", "fashion-cnn, hardened"
JOBS = {PLAIN: ["--set", "train.harden=null"], HARDENED: []}  # and what bench is told of them
BATCH = {"bench-conv": 64, "bench-dense": 128, "bench-tabular": 64, PLAIN: 64, HARDENED: 64}
INPUT = {"bench-conv": (3, 32, 32), "bench-dense": (784,), "bench-tabular": (24,), PLAIN: (1, 28, 28), HARDENED: (1, 28, 28)}
LATENT = {"bench-conv": 1024, "bench-dense": 40, "bench-tabular": 8, PLAIN: 50, HARDENED: 50}
SCORED, SAMPLES, INNER = 256, 10, 2  # rows, samples of each, steps of the inner attack


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
        if name in JOBS:
            encoder = nn.Sequential(
                nn.Conv2d(1, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU(),
                nn.ZeroPad2d((1, 2, 1, 2)), nn.Conv2d(32, 64, 4, 2), nn.ReLU(), nn.Flatten())
            decoder = nn.Sequential(
                nn.Linear(50, 784), nn.ReLU(), nn.Unflatten(1, (16, 7, 7)),
                nn.ConvTranspose2d(16, 16, 3, 2, 1, 1), nn.ReLU(), nn.ConvTranspose2d(16, 8, 3, 2, 1, 1), nn.ReLU(),
                nn.ConvTranspose2d(8, 1, 3, 1, 1), nn.Sigmoid())
            return VAE(encoder, 1024, 50, decoder)
        if name == "bench-dense":
            return VAE(nn.Sequential(nn.Linear(784, 400), nn.ReLU()), 400, 40,
                       nn.Sequential(nn.Linear(40, 400), nn.ReLU(), nn.Linear(400, 784), nn.Sigmoid()))
        return VAE(nn.Sequential(nn.Linear(24, 32), nn.ReLU()), 32, 8,
                   nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 24)))

    def classifier():
        return nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(1, 64, 2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                             nn.Linear(64 * 14 * 14, 256), nn.ReLU(), nn.Linear(256, 10)).requires_grad_(False)

    class Bench:
        def __init__(self, name, last, foreach, compiled, half):
            torch.manual_seed(0)
            self.name, self.last, self.half = name, last, half
            self.format = torch.channels_last if last else torch.contiguous_format
            self.model, self.classifier = network(name), classifier() if name in JOBS else None
            if last:
                self.model = self.model.to(memory_format=self.format)
                if self.classifier:
                    self.classifier = self.classifier.to(memory_format=self.format)
            self.adam = torch.optim.Adam(self.model.parameters(), lr=1e-3, eps=1e-7, foreach=foreach)
            self.x = {n: self.rows(name, n) for n in {BATCH[name], 64, 1}}
            self.latent, self.batch = LATENT[name], BATCH[name]
            self.params = sum(p.numel() for p in self.model.parameters())
            if self.classifier:
                self.scored = self.rows(name, SCORED)
                with torch.inference_mode():
                    self.clean = torch.log_softmax(self.classifier(self.x[self.batch]), 1)
                self.clean = self.clean.clone()
            parts = {"loss": self.loss, "attacked": self.attacked, "score": self.score_batch, "instances": self.instances_batch}
            for k, f in parts.items():
                setattr(self, "run_" + k, torch.compile(f, dynamic=False) if compiled else f)

        def rows(self, name, n):
            x = torch.rand(n, *INPUT[name])
            return x.to(memory_format=self.format) if self.last else x

        def precision(self):
            return torch.autocast("cpu", dtype=torch.bfloat16) if self.half else contextlib.nullcontext()

        def loss(self, x, target, eps):
            y = self.model(x, eps)
            if target is None:
                return nn.functional.mse_loss(y, x)
            return nn.functional.kl_div(torch.log_softmax(self.classifier(y), 1), target, reduction="batchmean", log_target=True)

        def attacked(self, x, label, eps):
            return nn.functional.cross_entropy(self.classifier(self.model(x, eps)), label, reduction="sum")

        def harden(self, x):
            """x, followed by what the inner attack makes of it, in the L∞ ball: the L2 ball costs the same."""
            label, adversarial = self.clean.argmax(1), (x + torch.empty_like(x).uniform_(-.16, .16)).clamp(0, 1)
            eps = torch.randn(self.batch, self.latent)
            for _ in range(INNER):
                adversarial.requires_grad_(True)
                with self.precision():
                    loss = self.run_attacked(adversarial, label, eps)
                d, = torch.autograd.grad(loss, adversarial)
                adversarial = (x + (adversarial.detach() + .12 * d.sign() - x).clamp(-.16, .16)).clamp(0, 1)
            return torch.cat([x, adversarial])

        def train(self):
            x, target = self.x[self.batch], None
            if self.classifier:
                target = self.clean
            if self.name == HARDENED:
                x, target = self.harden(x), torch.cat([target, target])
            self.adam.zero_grad(set_to_none=True)
            with self.precision():
                loss = self.run_loss(x, target, torch.randn(len(x), self.latent))
            loss.backward()
            self.adam.step()

        def score_batch(self, x, eps):
            return self.model(x, eps)

        def score(self, n):
            with torch.inference_mode(), self.precision():
                self.run_score(self.x[n], torch.randn(n, self.latent))

        def instances_batch(self, x, eps):
            """The score of each row: the mean of KL(P‖Q) over the samples."""
            n = len(x)
            h = self.model.encoder(x)
            mean, log_var = self.model.mean(h), self.model.log_var(h)
            z = mean[:, None] + torch.exp(0.5 * log_var)[:, None] * eps
            q = torch.log_softmax(self.classifier(self.model.decoder(z.flatten(0, 1))), 1).view(n, SAMPLES, -1)
            p = torch.log_softmax(self.classifier(x), 1)[:, None]
            return (p.exp() * (p - q)).sum(2).mean(1)

        def instances(self):
            with torch.inference_mode(), self.precision():
                for x in self.scored.split(32):
                    self.run_instances(x, torch.randn(len(x), SAMPLES, self.latent))

    def clock(f, seconds):
        f()
        times, busy, end = [], [], time.perf_counter() + seconds
        while len(times) < 3 or time.perf_counter() < end:
            start, cpu = time.perf_counter(), time.process_time()
            f()
            times.append(time.perf_counter() - start)
            busy.append(time.process_time() - cpu)
        return {"ms": statistics.median(times) * 1e3, "best_ms": min(times) * 1e3, "cpu_ms": statistics.median(busy) * 1e3}

    benches, modern = {}, hasattr(torch, "compile")

    def best(name, half):
        """The form whose training steps are the fastest by a trial."""
        if (name, half) not in benches:
            forms = [(last, False, False) for last in ([True, False] if len(INPUT[name]) == 3 else [False])]
            trials = []

            def trial(last, foreach, compiled):
                b = Bench(name, last, foreach, compiled, half)
                trials.append((clock(b.train, 1.0)["best_ms"], last, foreach, compiled, b))

            for form in forms:
                trial(*form)
            _, last, *_ = min(trials, key=lambda t: t[0])
            trial(last, True, False)
            _, _, foreach, *_ = min(trials, key=lambda t: t[0])
            if modern:
                for last, *_ in forms:
                    trial(last, foreach, True)
            benches[name, half] = min(trials, key=lambda t: t[0])
        return benches[name, half]

    for line in sys.stdin:
        *name, half, seconds = line.split()
        name, half, s = " ".join(name), half == "bf16", float(seconds)
        _, last, foreach, compiled, b = best(name, half)
        told = {"train": clock(b.train, 2 * s)}
        if b.classifier:
            told[f"scoring {SCORED} rows"] = clock(b.instances, s)
        else:
            told.update({f"score_{n}": clock(lambda n=n: b.score(n), s) for n in sorted(b.x, reverse=True)})
        print(json.dumps({**told, "settings": {"torch": torch.__version__, "channels_last": last, "foreach": foreach, "compiled": compiled,
                                               "bf16": half, "params": b.params}}), flush=True)


class Torch:
    def __init__(self, python, threads):
        flags = open("/proc/cpuinfo").read() if os.path.exists("/proc/cpuinfo") else ""
        wide = "avx512f" in flags
        env = dict(os.environ, OMP_NUM_THREADS=str(threads), OPENBLAS_NUM_THREADS=str(threads),
                   OPENBLAS_CORETYPE="SkylakeX" if wide else "Haswell",
                   ATEN_CPU_CAPABILITY="avx512" if wide else "avx2")
        self.p = subprocess.Popen([python, os.path.abspath(__file__), "--worker", str(threads)], env=env,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, name, seconds, half=False):
        self.p.stdin.write(f"{name} {'bf16' if half else 'fp32'} {seconds}\n")
        self.p.stdin.flush()
        return json.loads(self.p.stdout.readline())

    def close(self):
        self.p.stdin.close()
        self.p.wait()


BF16 = ["--set", "train.precision=bf16", "--set", "detector.precision=bf16"]


def vaeguard(binary, name, threads, seconds, half=False):
    flags = JOBS.get(name, []) + (BF16 if half else [])
    out = subprocess.run([binary, "bench", os.path.join(ROOT, "specs", name.partition(",")[0] + ".yaml"), "--json", "--quiet", "--steps-only",
                          "--threads", str(threads), "--seconds", str(seconds), *flags], check=True, capture_output=True, text=True).stdout
    r = json.loads(out)
    told = {"train": r["train_step"], "peak": r["fma_peak_gflops"], "settings": {"params": r["train_step"]["params"]}}
    if name in JOBS:
        s = r["overlap"]["score"]
        if r["overlap"]["score_rows"] != SCORED:
            sys.exit(f"{name}: bench scored {r['overlap']['score_rows']} rows, PyTorch {SCORED}")
        # bench runs each once and again: one figure for best and median
        told[f"scoring {SCORED} rows"] = {"ms": s["overlapped_ms"], "best_ms": s["overlapped_ms"], "cpu_ms": s["host_ms"]}
        return told
    return {**told, **{"score_" + n: v for n, v in r["score"].items()}}


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--vaeguard", default="vaeguard")
    a.add_argument("--python", default=sys.executable)
    a.add_argument("--rounds", type=int, default=5)
    a.add_argument("--seconds", type=float, default=1.0, help="of each measurement in a round")
    a.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    a.add_argument("--networks", nargs="+", default=list(BATCH))
    a.add_argument("--bf16", action="store_true", help="PyTorch under autocast to bfloat16 too, and vaeguard with precision bf16")
    a.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    o = a.parse_args()
    if o.worker:
        return worker(o.worker)
    print("| network | threads | what | PyTorch ms | vaeguard ms | ratio | of medians | of processor time |\n|---|---|---|---|---|---|---|---|")
    for name in o.networks:
        for threads in o.threads:
            torch = Torch(o.python, threads)
            for half in {False, o.bf16}:
                torch.run(name, 0.1, half)  # choose the settings
            rounds, halves, both = [], [], []
            for _ in range(o.rounds):
                rounds.append((torch.run(name, o.seconds), vaeguard(o.vaeguard, name, threads, o.seconds)))
                if o.bf16:
                    halves.append((torch.run(name, o.seconds, True), rounds[-1][1]))
                    both.append((halves[-1][0], vaeguard(o.vaeguard, name, threads, o.seconds, True)))
            torch.close()
            t, v = rounds[0][0]["settings"], rounds[0][1]["settings"]
            if t["params"] != v["params"]:
                sys.exit(f"{name}: {t['params']} params in PyTorch, {v['params']} in vaeguard")
            for suffix, pairs in (("", rounds), (", bf16 there", halves), (", bf16 on both sides", both)):
                for what in [k for k in pairs[0][0] if k != "settings"] if pairs else []:
                    print(f"| {name} | {threads} | {what}{suffix} | " + row(pairs, what) + " |", flush=True)
            print(f"<!-- {name}, {threads} threads: {t}, {halves[0][0]['settings'] if halves else ''}, "
                  f"peak {statistics.median(r[1]['peak'] for r in rounds):.0f} GFLOP/s -->", flush=True)


def row(rounds, what):
    best = [statistics.median(r[side][what]["best_ms"] for r in rounds) for side in (0, 1)]
    ratios = [statistics.median(r[1][what][key] / r[0][what][key] for r in rounds) for key in ("ms", "cpu_ms")]
    return f"{best[0]:.3f} | {best[1]:.3f} | {best[1] / best[0]:.2f} | " + " | ".join(f"{r:.2f}" for r in ratios)


if __name__ == "__main__":
    main()
