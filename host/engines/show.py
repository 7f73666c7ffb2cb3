"""Runs the engines on rows of 28×28 bytes, with a part of each lost in the middle, and measures what they cost.

    python show.py spark  --rows 1000000               # an executor is killed; a classifier as ONNX
    python show.py spark  --rows 100000 --guard python # a classifier as a Python plugin
    python show.py ray    --rows 100000                # a node is removed
    python show.py memory                              # of one process against its rows
    python show.py costs                               # processor time of each engine, and of 10^9 rows
    python show.py table                               # writes both into README.md

It wants Go, Java and a Python with what requirements.txt names. Results are compared row for row with those of `vaeguard
detect` on the same rows. What is made is kept in --dir and used again. Processor time is that of all processes of an engine,
sampled from /proc: it is a lower bound by the fifth of a second before the end of each, and unlike time on the clock it hardly
depends on what else the machine does. Memory is the sum of proportional set sizes. Linux only.
"""

import argparse
import ctypes
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
COLUMNS = ("is_adversarial", "instance_score", "p_value", "predicted", "corrected")

SPEC = """api_version: vaeguard/v1
kind: Experiment
name: {name}
seed: 7
data:
  train:       {{dataset: fashion-mnist-3k, split: train, range: [0, 1000]}}
  calibration: {{dataset: fashion-mnist-3k, split: test, range: [0, 300]}}
classifier:
  {classifier}
  checks: off
vae:
  latent_dim: {latent}
  encoder:
    - flatten
    - dense: {{units: {units}, activation: relu}}
  decoder:
    - dense: {{units: {units}, activation: relu}}
    - dense: {{units: 784, activation: sigmoid}}
    - reshape: {{target_shape: [28, 28, 1]}}
detector: {{samples: {samples}}}
train: {{epochs: 1, batch_size: 64}}
threshold: {{fpr: 0.05}}
"""

TABLE = """api_version: vaeguard/v1
kind: Experiment
name: table
seed: 7
data:
  train:       {dataset: wine, split: train, scale: standard}
  calibration: {dataset: wine, split: calibration, scale: standard}
classifier:
  plugin: mlp
  config: {hidden: [4]}
  train: {epochs: 2, batch_size: 32}
  checks: off
vae:
  latent_dim: 2
  encoder:
    - dense: {units: 4, activation: relu}
  decoder:
    - dense: {units: 13}
detector: {samples: 1, data_type: tabular}
train: {epochs: 1, batch_size: 32}
threshold: {fpr: 0.05}
"""

MODEL = """import numpy as np

import vaeguard


class Linear(vaeguard.Classifier):
    name, input_shape, num_classes, lo, hi = "linear", (28, 28, 1), 10, 0, 1
    layout = "nhwc"
    w = np.random.default_rng(5).normal(size=(10, 784)).astype(np.float32) / 28

    def predict(self, x):
        # Not x @ w.T, whose last digits depend on the number of rows: engines make other batches.
        return (x.reshape(len(x), 1, -1) * self.w).sum(-1)

    def gradient(self, x, dy):
        return (dy @ self.w).reshape(x.shape)


vaeguard.serve(Linear())
"""


class World:
    """The folder with the program, the detectors and the rows."""

    def __init__(self, folder, binary=None):
        self.dir = os.path.abspath(folder)
        os.makedirs(self.dir, exist_ok=True)
        os.environ["XDG_STATE_HOME"] = self.path("state")  # what may be started is said, not remembered
        os.environ["PATH"] = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]
        if os.environ.pop("PYTHONPATH", None):
            print("PYTHONPATH is not handed on: workers are to have nothing of vaeguard", file=sys.stderr)
        self.binary = binary or self.path("vaeguard")
        if not os.path.exists(self.binary):
            subprocess.run(["go", "build", "-o", self.binary, "./host/cmd/vaeguard"], cwd=ROOT, check=True)

    def path(self, *name):
        return os.path.join(self.dir, *name)

    def beam(self):
        out = self.path("vaeguard-beam")
        if not os.path.exists(out):
            subprocess.run(["go", "build", "-C", os.path.join(HERE, "beam"), "-o", out, "./vaeguard-beam"], check=True)
        return out

    def prism(self):
        """Starts Beam's runner as a process of its own: where it takes jobs, and the process."""
        program = self.path("prism")
        if not os.path.exists(program):
            subprocess.run(
                ["go", "build", "-C", os.path.join(HERE, "beam"), "-o", program, "github.com/apache/beam/sdks/v2/go/cmd/prism"], check=True
            )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        runner = subprocess.Popen(
            [program, "-job_port", str(port), "-serve_http=false", "-log_level", "error"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return f"127.0.0.1:{port}", runner
            except OSError:
                time.sleep(0.1)
        runner.kill()
        raise SystemExit("prism does not listen")

    def guard(self, kind):
        """The pack of a detector, and the digest of the command that it may start."""
        pack = self.path(kind + ".vg")
        if not os.path.exists(pack):
            onnx = os.path.join(ROOT, "examples", "onnx", "fashion.onnx")
            shown = f"plugin: onnx\n  config: {{model: {onnx}, input_range: [0, 1]}}"
            text = {
                "tiny": lambda: SPEC.format(name=kind, classifier=shown, latent=2, units=8, samples=1),
                "onnx": lambda: SPEC.format(name=kind, classifier=shown, latent=32, units=256, samples=4),
                "python": lambda: SPEC.format(name=kind, classifier=f"path: {self.plugin()}", latent=2, units=8, samples=1),
                "table": lambda: TABLE,
            }[kind]()
            with open(self.path(kind + ".yaml"), "w") as f:
                f.write(text)
            quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            subprocess.run([self.binary, "train", self.path(kind + ".yaml"), "--out", self.path(kind), "--force", "--quiet"], **quiet)
            subprocess.run([self.binary, "pack", self.path(kind), "--out", pack], **quiet)
            shutil.rmtree(self.path("state"), ignore_errors=True)
        if kind != "python":
            return pack, ()
        row = self.rows(1)
        refused = subprocess.run([self.binary, "detect", pack, "--data", row, "--quiet"], capture_output=True, text=True)
        found = re.search(r"--allow-command (sha256:[0-9a-f]+)", refused.stderr)
        if refused.returncode == 0 or not found:
            raise SystemExit("the Python plugin was not refused: " + refused.stderr)
        return pack, (found.group(1),)

    def plugin(self):
        """A plugin in Python with all that it needs but numpy and grpcio: the package is in its folder."""
        folder, package = self.path("plugin"), os.path.join(ROOT, "sdk", "python", "vaeguard")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(package, os.path.join(folder, "vaeguard"), ignore=shutil.ignore_patterns("__pycache__"))
        with open(os.path.join(folder, "model.py"), "w") as f:
            f.write(MODEL)
        files = sorted(os.path.relpath(os.path.join(d, n), folder) for d, _, names in os.walk(folder) for n in names)
        with open(os.path.join(folder, "plugin.yaml"), "w") as f:
            f.write("name: linear\nversion: 1.0.0\ncommand: [python3, model.py]\nfiles: [" + ", ".join(files) + "]\n")
        return folder

    def rows(self, n, kind="images"):
        """A Parquet file of n rows that nobody else has, in row groups of 10,000: 28×28 bytes, or 13 features."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.parquet as pq

        out = self.path(f"{kind}-{n}.parquet")
        if os.path.exists(out):
            return out
        group, writer = max(1, min(10_000, n // 6)), None
        for at in range(0, n, group):
            m = min(group, n - at)
            r = np.random.default_rng(at)
            columns = {"row": pa.array(np.arange(at, at + m))}
            if kind == "images":
                x = r.integers(0, 256, m * 784, dtype=np.uint8)
                x[::7] //= 8
                columns["x"] = pa.Array.from_buffers(pa.binary(784), m, [None, pa.py_buffer(x)]).cast(pa.binary())
            else:
                for name in self.features():
                    columns[name] = pa.array(r.normal(size=m).astype(np.float32))
            table = pa.table(columns)
            writer = writer or pq.ParquetWriter(out + ".tmp", table.schema, use_dictionary=False)
            writer.write_table(table)
        writer.close()
        os.rename(out + ".tmp", out)
        return out

    def features(self):
        import tarfile

        with tarfile.open(self.guard("table")[0]) as tar:
            name = next(n for n in tar.getnames() if os.path.basename(n) == "meta.json")
            meta = json.load(tar.extractfile(name))
        return [f["name"] for f in meta["signature"]["features"]]

    def detect(self, n, kind, guard):
        """The command that scores n rows in one process, and where its results are."""
        pack, allow = self.guard(guard)
        out = self.path(f"detect-{guard}-{n}.parquet")
        command = [
            self.binary,
            "detect",
            pack,
            "--data",
            self.rows(n, kind),
            "--keep",
            "row",
            "--format",
            "parquet",
            "--out",
            out,
            "--quiet",
        ]
        return command + [f for digest in allow for f in ("--allow-command", digest)], out

    def expected(self, n, guard):
        command, out = self.detect(n, "images", guard)
        if not os.path.exists(out):
            subprocess.run(command, check=True)
        return out


# ---- what all processes of an engine cost


class Cost:
    """Processor time in seconds and peak memory of the descendants of this process, but for one, from now until stop."""

    def __init__(self, apart=None):
        self._apart = apart
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # orphans come to this process: PR_SET_CHILD_SUBREAPER
        self._tick = os.sysconf("SC_CLK_TCK")
        self._seen, self._over = {}, threading.Event()
        self._before = {(pid, fields[19]): self._used(fields) for pid, fields in descendants(os.getpid()).items()}
        self.memory = 0  # of all at once
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _used(self, fields):
        return (int(fields[11]) + int(fields[12])) / self._tick

    def _sample(self):
        rounds = 0
        while not self._over.wait(0.2):
            alive = descendants(os.getpid())
            alive.pop(self._apart, None)
            for pid, fields in alive.items():
                self._seen[pid, fields[19]] = self._used(fields)
            rounds += 1
            if rounds % 5 == 1:
                self.memory = max(self.memory, sum(map(pss, alive)))

    def stop(self):
        self._over.set()
        self._thread.join()
        used = sum(self._seen.values()) - sum(self._before.get(of, 0) for of in self._seen)
        return {"cpu": round(used, 2), "wall": round(time.monotonic() - self._began, 2), "memory": self.memory}


def stats():
    """What /proc/PID/stat says of all processes, from the state on."""
    out = {}
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            try:
                with open(f"/proc/{pid}/stat") as f:
                    out[int(pid)] = f.read().rsplit(")", 1)[1].split()
            except OSError:
                pass
    return out


def descendants(root):
    known = stats()
    children = {}
    for pid, fields in known.items():
        children.setdefault(int(fields[1]), []).append(pid)
    found, todo = {}, list(children.get(root, ()))
    while todo:
        pid = todo.pop()
        found[pid] = known[pid]
        todo += children.get(pid, ())
    return found


def command(pid):
    try:
        with open(f"/proc/{pid}/cmdline") as f:
            return f.read()
    except OSError:
        return ""


def pss(pid):
    try:
        with open(f"/proc/{pid}/smaps_rollup") as f:
            return next((int(line.split()[1]) * 1024 for line in f if line.startswith("Pss:")), 0)
    except OSError:
        return 0


def measured(command, apart=None, **more):
    """What a command costs, without the process apart; it has to succeed."""
    cost = Cost(apart)
    with tempfile.TemporaryFile("w+") as log:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=log, text=True, **more)
        out = cost.stop()
        if done.returncode:
            log.seek(0)
            raise SystemExit(f"{command}: exit code {done.returncode}\n{log.read()[-4000:]}")
    return out, done.stdout


# ---- engines: each runs in a process of its own, `show.py run ENGINE …`


def spark(world, n, guard, out, workers, lose):
    from pyspark.sql import SparkSession

    sys.path.insert(0, os.path.join(ROOT, "sdk", "python"))  # of the driver alone
    import vaeguard.spark

    rows, (pack, allow) = world.rows(n), world.guard(guard)
    session = (
        SparkSession.builder.master(f"local-cluster[{workers},1,1024]")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.log.level", "ERROR")
        .config("spark.sql.files.maxPartitionBytes", str(min(8 << 20, os.path.getsize(rows) // 6)))
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "2000")
        .getOrCreate()
    )
    try:
        report = {"workers have": session.range(2, numPartitions=2).rdd.mapPartitions(has).collect()}
        df = session.read.parquet(rows)
        verdicts = vaeguard.spark.detect(df, pack, keep=["row"], binary=world.binary, allow_command=allow)
        tracker = session.sparkContext.statusTracker()

        def kill():
            while True:
                time.sleep(0.05)
                for stage in tracker.getActiveStageIds():
                    s = tracker.getStageInfo(stage)
                    if s and s.numTasks > 2 and s.numCompletedTasks * 3 >= s.numTasks:
                        victim = next(p for p in descendants(os.getpid()) if "CoarseGrainedExecutorBackend" in command(p))
                        os.kill(victim, signal.SIGKILL)
                        report["lost"] = f"an executor killed after {s.numCompletedTasks} of {s.numTasks} tasks"
                        return

        killer = threading.Thread(target=kill, daemon=True)
        if lose:
            killer.start()
        verdicts.write.mode("overwrite").parquet(out)
        if lose:
            killer.join(1)
    finally:
        session.stop()
    return report


def has(_):
    """What a worker has of vaeguard before it is sent anything."""
    import importlib.util
    import shutil

    yield f"package: {importlib.util.find_spec('vaeguard') is not None}, program: {shutil.which('vaeguard') is not None}"


def ray(world, n, guard, out, workers, lose):
    import ray as engine
    from ray.cluster_utils import Cluster

    package = os.path.join(ROOT, "sdk", "python")
    sys.path.insert(0, package)
    import pyarrow.parquet as pq
    import vaeguard.ray

    pack, allow = world.guard(guard)
    os.environ["RAY_worker_niceness"] = "0"  # else all else on the machine goes first
    node = {"num_cpus": 2, "object_store_memory": 300 << 20}
    cluster = insist(lambda: Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False}))
    report = {}
    try:
        second = insist(lambda: cluster.add_node(**node)) if workers > 1 else None
        engine.init(address=cluster.address, log_to_driver=False, runtime_env={"env_vars": {"PYTHONPATH": package}})
        engine.data.DataContext.get_current().enable_progress_bars = False
        rows = engine.data.read_parquet(world.rows(n), override_num_blocks=max(2 * workers, n // 5000))
        verdicts = rows.map_batches(
            vaeguard.ray.Guard,
            fn_constructor_kwargs={"detector": pack, "binary": world.binary, "keep": ["row"], "allow_command": allow},
            batch_format="pyarrow",
            batch_size=2000,
            concurrency=workers,
        )
        os.makedirs(out, exist_ok=True)
        writer, at = None, 0
        for batch in verdicts.iter_batches(batch_size=2000, batch_format="pyarrow", prefetch_batches=0):
            writer = writer or pq.ParquetWriter(os.path.join(out, "all.parquet"), batch.schema)
            writer.write_table(batch)
            at += batch.num_rows
            if lose and "lost" not in report and at * 4 >= n:
                cluster.remove_node(second, allow_graceful=False)
                report["lost"] = f"a node removed after {at:,} rows"
        writer.close()
        engine.shutdown()
    finally:
        cluster.shutdown()
    return report


def insist(start):
    """Ray gives a node 30 s to start, which is short on a machine that does other things."""
    for left in range(9, -1, -1):
        try:
            return start()
        except Exception as e:
            if not left or "timed out" not in str(e):
                raise
    raise AssertionError


def pipe(world, n, guard, out, _workers, _lose):
    """From Python, as the recipes for pandas, Dask and DuckDB do: record batches through one process."""
    sys.path.insert(0, os.path.join(ROOT, "sdk", "python"))
    import pyarrow.parquet as pq
    from vaeguard import _arrow

    pack, allow = world.guard(guard)
    os.makedirs(out, exist_ok=True)
    process = _arrow.ArrowDetector(pack, world.binary, _arrow.arguments(allow, ()))
    writer = None
    for batch, answer in process.stream(pq.ParquetFile(world.rows(n)).iter_batches(batch_size=2000)):
        got = _arrow.verdicts(batch, answer, ["row"])
        writer = writer or pq.ParquetWriter(os.path.join(out, "all.parquet"), got.schema)
        writer.write_batch(got)
    writer.close()
    process.close()
    return {}


ENGINES = {"spark": spark, "ray": ray, "pipe": pipe}


def engine(world, name, n, guard, workers, lose=False):
    """Runs an engine, compares what it gives with detect, and says what it cost."""
    if name in ("detect", "pipe", "beam"):
        workers = 1
    out = world.path(f"out-{name}")
    shutil.rmtree(out, ignore_errors=True)
    world.rows(n), world.guard(guard)
    if name == "detect":
        command, out = world.detect(n, "images", guard)
        cost, _ = measured(command)
    elif name == "beam":
        beam, (pack, _) = world.beam(), world.guard(guard)
        where, runner = world.prism()
        try:
            line = [beam, "-runner", "universal", "-endpoint", where, "-environment_type", "LOOPBACK"]
            line += ["-detector", pack, "-data", world.rows(n), "-out", out, "-shards", "8", "-keep", "row"]
            cost, _ = measured(line, apart=runner.pid)
            used = stats()[runner.pid]
            cost["runner"] = (int(used[11]) + int(used[12])) / os.sysconf("SC_CLK_TCK")
        finally:
            runner.kill()
            runner.wait()
        subprocess.run([world.binary, "merge", out, "--out", world.path("merged.parquet")], check=True, stdout=subprocess.DEVNULL)
        out = world.path("merged.parquet")
    elif name == "shards":
        pack, _ = world.guard(guard)
        out, to = world.path("merged.parquet"), out
        one = f'"{world.binary}" detect "{pack}" --data "{world.rows(n)}" --keep row --out "{to}" --shard $i/4 --quiet'
        loop = f"for i in 0 1 2 3; do {one} & [ $((i % {workers})) != {workers - 1} ] || wait; done; wait"
        cost, _ = measured(["sh", "-ec", f'{loop}; "{world.binary}" merge "{to}" --out "{out}"'])
    else:
        line = [sys.executable, __file__, "run", name, "--dir", world.dir, "--binary", world.binary, "--rows", str(n)]
        line += ["--guard", guard, "--workers", str(workers), "--out", out] + ["--lose"] * lose
        cost, text = measured(line, env={**os.environ, "PYSPARK_PYTHON": sys.executable})
        cost.update(json.loads(text.strip().splitlines()[-1]))
    if name != "detect":
        compare(world.expected(n, guard), out, n)
    return {"engine": name, "rows": n, "guard": guard, "workers": workers, **cost}


def compare(want, got, n):
    """Holds that there is each row once, with the verdicts of want."""
    import numpy as np
    import pyarrow.parquet as pq

    a, b = pq.read_table(want, columns=["row", *COLUMNS]), pq.read_table(got, columns=["row", *COLUMNS])
    if b.num_rows != n or a.num_rows != n:
        raise SystemExit(f"{b.num_rows} rows, want {n}")
    b = b.sort_by("row")
    if not np.array_equal(b["row"].to_numpy(), np.arange(n)):
        raise SystemExit("rows are lost, or there twice")
    for name in COLUMNS:
        x, y = a[name].to_numpy(), b[name].to_numpy()
        if not np.array_equal(x, y):
            raise SystemExit(f"{name} differs in {np.count_nonzero(x != y)} of {n} rows")


# ---- figures


def keep(world, section, *results):
    """Adds results to the figures, in the place of those of the same run."""
    with open(world.figures, "a+") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        f.seek(0)
        figures = json.loads(f.read() or "{}")
        for r in results:
            print(json.dumps(r), flush=True)
            run = [r.get(k) for k in RUN]
            figures[section] = [o for o in figures.get(section, []) if [o.get(k) for k in RUN] != run] + [r]
            figures[section].sort(key=lambda o: [str(o.get(k)).zfill(12) for k in RUN])
        f.truncate(0)
        f.write(json.dumps(figures, indent=1) + "\n")


RUN = ("engine", "kind", "guard", "workers", "rows")


def memory(world, most, kinds):
    for kind in kinds:
        guard = {"images": "tiny", "table": "table"}[kind]
        for n in (10**5, 10**6, 10**7):
            if n <= most:
                line, _ = world.detect(n, kind, guard)
                keep(world, "memory", {"rows": n, "kind": kind, **measured(line)[0]})


def costs(world, few, many, names, workers):
    for name in names:
        for n in (few, many):
            keep(world, "costs", engine(world, name, n, "tiny", workers))
    for n in (few, many):
        keep(world, "costs", engine(world, "detect", n, "onnx", 1))


def slope(runs, name, workers, guard="tiny"):
    """Processor time of a row in microseconds, and of the start in seconds, by the fewest and the most rows."""
    of = sorted((r["rows"], r["cpu"]) for r in runs if (r["engine"], r["workers"], r["guard"]) == (name, workers, guard))
    if len(of) < 2:
        return None
    (few, a), (many, b) = of[0], of[-1]
    each = (b - a) / (many - few)
    return each * 1e6, a - few * each, few, many


def table(world):
    """Writes the tables between the marks in README.md."""
    with open(world.figures) as f:
        figures = json.load(f)
    runs, lines = figures["costs"], []
    alone, real = slope(runs, "detect", 1), slope(runs, "detect", 1, "onnx")
    lines += [
        "| engine | workers | start, CPU seconds | µs of CPU a row | rows a CPU-second "
        "| over `detect`, small detector | the same, larger detector | 10⁹ rows of the small one, core-hours |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, what in NAMES.items():
        for workers in (1, 2):
            if found := slope(runs, name, workers):
                each, start = found[:2]
                over = each - alone[0]
                line = [what, workers, f"{max(start, 0):.1f}", f"{each:.0f}", f"{1e6 / each:,.0f}"]
                line += [f"{over / alone[0]:+.0%}", f"{over / real[0]:+.0%}", f"{each * 1e3 / 3600:.0f}"]
                lines.append(f"| {' | '.join(map(str, line))} |")
    hours = [
        f"{what} takes `detect` {one[0]:.0f} µs, so 10⁹ rows are 10⁹ × {one[0]:.0f} µs ÷ 3600 s = {one[0] * 1e3 / 3600:.0f} core-hours"
        for what, one in (("A row of the small detector", alone), ("one of the larger", real))
    ]
    lines += [
        "",
        "; ".join(hours) + f". A row's share is the difference of two runs, of {alone[2]:,} and {alone[3]:,} rows for `detect`.",
        "",
        "| rows of one process | peak memory, MiB | CPU seconds |",
        "|---|---|---|",
    ]
    for r in sorted(figures.get("memory", []), key=lambda r: (r["kind"], r["rows"])):
        what = "28×28 bytes" if r["kind"] == "images" else "13 numbers"
        lines.append(f"| {r['rows']:,} of {what} | {r['memory'] / 2**20:.0f} | {r['cpu']:.0f} |")
    lines += ["", "| with a part lost in the middle | rows | classifier | what was lost | CPU seconds |", "|---|---|---|---|---|"]
    for r in figures.get("lost", []):
        lines.append(
            f"| {NAMES[r['engine']]} | {r['rows']:,} | {'Python plugin' if r['guard'] == 'python' else 'ONNX'} | {r['lost']} | {r['cpu']:.0f} |"
        )
    page = os.path.join(HERE, "README.md")
    with open(page) as f:
        before, rest = f.read().split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    with open(page, "w") as f:
        f.write(before + MARKS[0] + "\n" + "\n".join(lines) + "\n" + MARKS[1] + after)


MARKS = "<!-- figures by show.py table -->", "<!-- end of figures -->"
NAMES = {
    "detect": "`detect`, one process",
    "shards": "shards, `merge` included",
    "pipe": "the pipe, from Python",
    "beam": "Beam on prism, 8 shards",
    "spark": "Spark",
    "ray": "Ray",
}


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("what", choices=["spark", "ray", "memory", "costs", "table", "run"])
    p.add_argument("name", nargs="?", help="with run: the engine")
    p.add_argument("--dir", default="/tmp/vaeguard-show", help="folder for what is made")
    p.add_argument("--binary", help="the program; default: built from this checkout")
    p.add_argument("--rows", type=int)
    p.add_argument("--guard", choices=["tiny", "onnx", "python"], default="tiny")
    p.add_argument("--workers", type=int, default=2, help="of Spark, Ray and shards; the others are one process")
    p.add_argument("--figures", default=os.path.join(HERE, "figures.json"), help="where figures are kept")
    p.add_argument("--out", help="with run: folder of the verdicts")
    p.add_argument("--lose", action="store_true", help="with run: a part of the engine")
    p.add_argument("--kinds", help="with memory", default="images,table")
    p.add_argument("--engines", help="with costs", default="detect,shards,pipe,beam,spark,ray")
    o = p.parse_args()
    world = World(o.dir, o.binary)
    world.figures = o.figures
    if o.what == "run":
        print(json.dumps(ENGINES[o.name](world, o.rows, o.guard, o.out, o.workers, o.lose)))
    elif o.what in ENGINES:
        done = engine(world, o.what, o.rows or 10**6, o.guard, 2, lose=True)
        if "lost" not in done:
            raise SystemExit("nothing was lost in the middle: take more rows")
        keep(world, "lost", done)
    elif o.what == "memory":
        memory(world, o.rows or 10**7, o.kinds.split(","))
    elif o.what == "costs":
        costs(world, (o.rows or 10**5) // 10, o.rows or 10**5, o.engines.split(","), o.workers)
    else:
        table(world)


if __name__ == "__main__":
    main()
