"""A detector asked by Arrow batches, and by Spark and Ray, against vaeguard detect on the same rows.

VAEGUARD_BINARY is the program and VAEGUARD_GUARD a detector of 64 numbers from 0 to 1; without them there is nothing to ask.
VAEGUARD_ROWS is how many rows the engines score.
"""

import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from unittest import mock

import numpy as np

BINARY, GUARD = os.environ.get("VAEGUARD_BINARY"), os.environ.get("VAEGUARD_GUARD")
ROWS = int(os.environ.get("VAEGUARD_ROWS", "4000"))
COLUMNS = ("is_adversarial", "instance_score", "p_value", "predicted", "corrected")


# Answers one batch and reads no other.
ONE_ANSWER = """\
#!{}
import sys, time
import pyarrow as pa
batch = pa.ipc.open_stream(sys.stdin.buffer).read_next_batch()
with pa.ipc.new_stream(sys.stdout.buffer, batch.schema) as w:
    w.write(batch)
    sys.stdout.buffer.flush()
    time.sleep(600)
"""


def has(*modules):
    return bool(BINARY and GUARD) and all(importlib.util.find_spec(m) for m in modules)


def digits(n):
    return np.random.default_rng(7).integers(0, 256, (n, 64), dtype=np.uint8)


def expected(x):
    """What vaeguard detect says of the rows in a file, by columns."""
    import pyarrow.parquet as pq

    with tempfile.TemporaryDirectory() as folder:
        np.save(os.path.join(folder, "x.npy"), x)
        out = os.path.join(folder, "out.parquet")
        subprocess.run([BINARY, "detect", GUARD, "--data", folder + "/x.npy", "--format", "parquet", "--out", out, "--quiet"], check=True)
        table = pq.read_table(out)
    return {name: table[name].to_numpy() for name in COLUMNS}


@unittest.skipUnless(has("pyarrow"), "no pyarrow, program or detector")
class ArrowDetector(unittest.TestCase):
    def test_batches(self):
        import pyarrow as pa

        from vaeguard import _arrow

        x = digits(300)
        want = expected(x)
        guard = _arrow.ArrowDetector(GUARD, BINARY)
        self.addCleanup(guard.close)

        def batch(lo, hi):
            return pa.RecordBatch.from_arrays(
                [pa.array([r.tobytes() for r in x[lo:hi]], pa.binary()), pa.array(range(lo, hi), pa.int64())], ["x", "row"]
            )

        at = 0
        for sent, answer in guard.stream(batch(lo, hi) for lo, hi in ((0, 3), (3, 3), (3, 200), (200, 300))):
            got = _arrow.verdicts(sent, answer, ["row"])
            self.assertEqual(got.column("row").to_pylist(), list(range(at, at + sent.num_rows)))
            for name in COLUMNS:
                np.testing.assert_array_equal(got.column(name).to_numpy(zero_copy_only=False), want[name][at : at + sent.num_rows])
            at += sent.num_rows
        self.assertEqual(at, 300)
        self.assertEqual(guard.detect(batch(0, 5)).num_rows, 5)  # once more, by the same process

    def test_faults(self):
        import pyarrow as pa

        from vaeguard import _arrow

        good = pa.RecordBatch.from_arrays([pa.array([b"\0" * 64], pa.binary())], ["x"])
        guard = _arrow.ArrowDetector(GUARD + "-not", BINARY)
        self.addCleanup(guard.close)
        with self.assertRaisesRegex(RuntimeError, "vaeguard ended: .*-not"):
            guard.detect(good)
        guard = _arrow.ArrowDetector(GUARD, BINARY)
        self.addCleanup(guard.close)
        short = pa.RecordBatch.from_arrays([pa.array([b"\0" * 64, b"\0"], pa.binary())], ["x"])
        self.assertEqual(guard.detect(short).column("error").to_pylist(), [None, 'column "x" has 1 numbers, want 64'])

        def broken():
            yield good
            raise KeyError("of the caller")

        with self.assertRaisesRegex(KeyError, "of the caller"):
            list(guard.stream(broken()))

    def test_left_early(self):
        import pyarrow as pa

        from vaeguard import _arrow

        with tempfile.TemporaryDirectory() as folder:
            program = os.path.join(folder, "vaeguard")
            with open(program, "w") as f:
                f.write(ONE_ANSWER.format(sys.executable))
            os.chmod(program, 0o755)
            guard = _arrow.ArrowDetector(GUARD, program)
            batch = pa.RecordBatch.from_arrays([pa.array([bytes(1 << 20)], pa.binary())], ["x"])  # more than a pipe holds
            stream = guard.stream([batch] * 3)
            next(stream)
            time.sleep(0.5)  # the next batch is under way, and nobody reads it
            stream.close()
            closer = threading.Thread(target=guard.close, daemon=True)
            closer.start()
            closer.join(60)
            self.assertFalse(closer.is_alive())

    def test_columns_to_keep(self):
        import pyarrow as pa

        import vaeguard.ray

        image = pa.array([b"\0" * 64], pa.binary())
        for names, want in (
            (["x", "row"], "no column 'rwo' to keep; there are x, row"),
            (["x", "rwo", "rwo"], "more than one column 'rwo'"),
        ):
            guard = vaeguard.ray.Guard(GUARD, keep=["rwo"])
            with self.assertRaisesRegex(ValueError, want):
                guard(pa.table([image] + [pa.array([1])] * (len(names) - 1), names=names))

    def test_the_script_is_no_program(self):
        import vaeguard.ray

        with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ):
            script, program = os.path.join(folder, "a", "vaeguard"), os.path.join(folder, "b", "vaeguard")
            for path in (script, program):
                os.mkdir(os.path.dirname(path))
            with open(script, "w") as f:
                f.write("#!/usr/bin/python3\nfrom vaeguard._program import main\nmain()\n")
            os.chmod(script, 0o755)
            os.symlink(BINARY, program)
            del os.environ["VAEGUARD_BINARY"]
            os.environ["PATH"] = os.pathsep.join([os.path.dirname(script), os.path.dirname(program), os.environ["PATH"]])
            self.assertEqual(vaeguard.ray.Guard(GUARD)._open[1], program)


@unittest.skipUnless(has("pyspark", "pandas"), "no pyspark, program or detector")
class Spark(unittest.TestCase):
    """Master, worker and executors are processes; the executors have nothing of vaeguard."""

    def test_executor_killed(self):
        import pandas as pd
        from pyspark.sql import SparkSession

        import vaeguard.spark

        spark = (
            SparkSession.builder.master("local-cluster[2,1,1024]")
            .config("spark.ui.enabled", "false")
            .config("spark.sql.execution.arrow.maxRecordsPerBatch", "500")
            .getOrCreate()
        )
        self.addCleanup(spark.stop)
        x = digits(ROWS)
        want = expected(x)
        frame = pd.DataFrame({"row": np.arange(len(x)), "x": [r.tobytes() for r in x]})
        df = spark.createDataFrame(frame).repartition(8)
        out = vaeguard.spark.detect(df, GUARD, keep=["row"])  # $VAEGUARD_BINARY
        self.assertEqual(out.columns[:3], ["row", "is_adversarial", "instance_score"])
        killed = []

        def kill():
            for _ in range(600):
                executors = executors_of(os.getpid())
                if any("vaeguard" in name for pid in executors for name in below(pid)):  # one is at work
                    killed.append(executors[0])
                    os.kill(executors[0], signal.SIGKILL)
                    return
                time.sleep(0.05)

        killer = threading.Thread(target=kill)
        killer.start()
        began = time.monotonic()
        got = out.toPandas().sort_values("row")
        took = time.monotonic() - began
        killer.join()
        self.assertEqual(len(killed), 1)
        self.assertEqual(got["row"].tolist(), list(range(len(x))))
        for name in COLUMNS:
            np.testing.assert_array_equal(got[name].to_numpy(), want[name])
        self.assertTrue(got["error"].isna().all())
        print(f"Spark: {len(x)} rows, an executor killed, {took:.1f} s")
        with self.assertRaisesRegex(ValueError, "no column 'y' to keep"):
            vaeguard.spark.detect(df, GUARD, keep=["y"], binary=BINARY)


def processes():
    """Parent and command line of every process."""
    out = {}
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            try:
                with open(f"/proc/{pid}/stat") as f:
                    parent = int(f.read().rsplit(")", 1)[1].split()[1])
                with open(f"/proc/{pid}/cmdline") as f:
                    out[int(pid)] = parent, f.read().replace("\0", " ")
            except OSError:
                pass
    return out


def descendants(root):
    known = processes()
    found = [root]
    for pid in found:
        found += [p for p, (parent, _) in known.items() if parent == pid]
    return [(p, known[p][1]) for p in found[1:] if p in known]


def executors_of(root):
    return [p for p, line in descendants(root) if "CoarseGrainedExecutorBackend" in line]


def below(root):
    return [line for _, line in descendants(root)]


@unittest.skipUnless(has("ray", "pandas"), "no Ray, program or detector")
class Ray(unittest.TestCase):
    def test_node_removed(self):
        import ray
        from ray.cluster_utils import Cluster

        import vaeguard.ray

        cluster = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 2, "object_store_memory": 100 << 20, "include_dashboard": False}
        )
        self.addCleanup(cluster.shutdown)
        second = cluster.add_node(num_cpus=2, object_store_memory=100 << 20)
        ray.init(
            address=cluster.address,
            log_to_driver=False,
            runtime_env={"env_vars": {"PYTHONPATH": os.path.dirname(os.path.dirname(vaeguard.ray.__file__))}},
        )
        self.addCleanup(ray.shutdown)
        x = digits(ROWS)
        want = expected(x)
        rows = ray.data.from_items([{"row": i, "x": r.tobytes()} for i, r in enumerate(x)], override_num_blocks=16)
        out = rows.map_batches(
            vaeguard.ray.Guard,
            fn_constructor_kwargs={"detector": GUARD, "keep": ["row"]},
            batch_format="pyarrow",
            batch_size=100,
            concurrency=2,
        )
        got, removed = [], False
        for batch in out.iter_batches(batch_size=200, batch_format="pandas", prefetch_batches=0):
            got.append(batch)
            if not removed:
                cluster.remove_node(second, allow_graceful=False)
                removed = True
        import pandas as pd

        table = pd.concat(got).sort_values("row")
        self.assertEqual(table["row"].tolist(), list(range(len(x))))
        for name in COLUMNS:
            np.testing.assert_array_equal(table[name].to_numpy(), want[name])
        print(f"Ray: {len(x)} rows, a node removed")


if __name__ == "__main__":
    unittest.main()
