"""Score the rows of a Spark DataFrame where they are, one vaeguard process a Python worker.

    verdicts = vaeguard.spark.detect(df, "runs/first", keep=["id"])

Needs pyspark 3.4 or later and pyarrow on driver and executors, and the program vaeguard on the driver. The detector goes to the
executors as a pack, with the program and this module: they need nothing of vaeguard.
"""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from typing import TYPE_CHECKING, Any, Iterator, Optional, Sequence, Union

import pyarrow as pa

from . import _arrow, _program

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def detect(
    df: DataFrame,
    detector: str,
    *,
    keep: Sequence[str] = (),
    binary: Optional[str] = None,
    allow_command: Union[str, Sequence[str]] = (),
    flags: Sequence[str] = (),
) -> DataFrame:
    """What the detector says of each row of df: is_adversarial, instance_score, p_value, predicted, reconstructed, corrected, the
    names of classes where they exist, and error, which is null but for rows that cannot be scored.

    df: a column for each feature, by name; for a detector of images a column x of binary values (a byte a number) or arrays.
    detector: a folder, a run or a pack (.vg) on the driver. keep: columns of df that stand before the verdicts, as they are.
    binary: the program, for the executors' platform (default: $VAEGUARD_BINARY, else the package's own, else
    that on PATH). flags: further ones of vaeguard detect.

    A partition that is computed again has the same verdicts.
    """
    from pyspark import SparkFiles, cloudpickle
    from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema

    binary = _program.find(binary)  # here: executors have no package, to which the script of that name belongs
    flags = _arrow.arguments(allow_command, flags)
    session = df.sparkSession
    pack = _packed(binary, detector)
    answer = _schema(binary, pack, flags, to_arrow_schema(df.schema), keep)
    session.sparkContext.addFile(pack)
    session.sparkContext.addFile(binary)
    names = os.path.basename(pack), os.path.basename(binary)
    keep = list(keep)
    # By value, and so without the package: functions, for a module that is named would be imported.
    cloudpickle.register_pickle_by_value(_arrow)
    borrowed, verdicts = _arrow.borrowed, _arrow.verdicts

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        there, program = (SparkFiles.get(name) for name in names)
        os.chmod(program, os.stat(program).st_mode | stat.S_IXUSR)
        for batch, answer in borrowed(there, program, flags, batches):
            yield verdicts(batch, answer, keep)

    return df.mapInArrow(run, from_arrow_schema(answer))


def _packed(binary: str, detector: str) -> str:
    """The pack of a detector, a new file unless it is one. Spark fetches it as long as the application runs."""
    if os.path.isfile(detector):
        return os.path.abspath(detector)
    out = os.path.join(tempfile.mkdtemp(prefix="vaeguard-spark-"), "detector.vg")
    done = subprocess.run([binary, "pack", detector, "--out", out], check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip() or "vaeguard pack failed")
    return out


def _schema(binary: str, pack: str, flags: Sequence[str], columns: pa.Schema, keep: Sequence[str]) -> Any:
    """The columns of the verdicts: those of the answer to a batch without rows."""
    empty = pa.RecordBatch.from_arrays([pa.array([], f.type) for f in columns], schema=columns)
    _arrow.kept(empty, keep)
    guard = _arrow.ArrowDetector(pack, binary, flags)
    try:
        return _arrow.verdicts(empty, guard.detect(empty), keep).schema
    finally:
        guard.close()
