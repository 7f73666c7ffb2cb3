"""A pandas DataFrame scored by a detector: python score_pandas.py DETECTOR rows.parquet out.parquet"""

import sys

import pandas as pd
import pyarrow as pa

from vaeguard.ray import Guard  # takes and gives Arrow tables, without Ray as well


def score(frame, detector, keep=(), **options):
    """frame with the verdicts beside the columns to keep, row by row and with frame's index."""
    guard = Guard(detector, keep=keep, **options)
    try:
        out = guard(pa.Table.from_pandas(frame, preserve_index=False)).to_pandas()
    finally:
        guard.close()
    return out.set_index(frame.index)


if __name__ == "__main__":
    score(pd.read_parquet(sys.argv[2]), sys.argv[1]).to_parquet(sys.argv[3])
