"""The rows of a DuckDB query scored by a detector: python score_duckdb.py DETECTOR "select * from 'in/*.parquet'" out.parquet"""

import sys

import duckdb
import pyarrow as pa

from vaeguard.ray import Guard  # takes and gives Arrow tables, without Ray as well


def score(query, detector, out, keep=(), connection=None, rows=10_000, **options):
    """Writes the verdicts to a Parquet file, in memory that does not grow with the rows, and gives their number."""
    import pyarrow.parquet as pq

    guard = Guard(detector, keep=keep, **options)
    batches = (connection or duckdb).sql(query).fetch_arrow_reader(rows)
    writer, n = None, 0
    try:
        for batch in batches:
            verdicts = guard(pa.Table.from_batches([batch]))
            writer = writer or pq.ParquetWriter(out, verdicts.schema)
            writer.write_table(verdicts)
            n += verdicts.num_rows
    finally:
        guard.close()
        if writer:
            writer.close()
    return n


if __name__ == "__main__":
    print(score(sys.argv[2], sys.argv[1], sys.argv[3]), "rows")
