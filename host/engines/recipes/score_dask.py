"""The partitions of a Dask DataFrame scored by a detector: python score_dask.py DETECTOR 'in/*.parquet' out/"""

import sys

import dask.dataframe as dd
import pyarrow as pa

from vaeguard.ray import Guard  # takes and gives Arrow tables, without Ray as well


def partition(frame, detector, keep, options):
    """The verdicts of one partition. A process of vaeguard takes it: larger partitions are cheaper."""
    guard = Guard(detector, keep=keep, **options)
    try:
        return guard(pa.Table.from_pandas(frame, preserve_index=False)).to_pandas().set_index(frame.index)
    finally:
        guard.close()


def score(frame, detector, keep=(), **options):
    """A Dask DataFrame of the verdicts, with frame's index and partitions. Its columns are found with the first row.

    A column of binary values needs dask.config.set({"dataframe.convert-string": False}): Dask takes it for text.
    """
    meta = partition(frame.head(1, npartitions=-1), detector, keep, options).iloc[:0]
    return frame.map_partitions(partition, detector, keep, options, meta=meta)


if __name__ == "__main__":
    score(dd.read_parquet(sys.argv[2]), sys.argv[1]).to_parquet(sys.argv[3])
