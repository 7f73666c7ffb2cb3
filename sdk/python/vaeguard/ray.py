"""Score the blocks of a Ray Data set, one vaeguard process an actor.

    ds.map_batches(vaeguard.ray.Guard, fn_constructor_kwargs={"detector": "first.vg"}, batch_format="pyarrow", concurrency=4)

Needs ray[data] and pyarrow, and on each node the program vaeguard and the detector, a pack on a shared folder for instance.
"""

from __future__ import annotations

from typing import Any, List, Optional, Sequence, Union

import pyarrow as pa

from . import _arrow, _program


class Guard:
    """What map_batches of Ray Data calls: a table of rows in, their verdicts out, in order.

    detector: a folder, a run or a pack (.vg). Rows have a column for each feature, by name; for a detector of images a column x of
    arrays or bytes. keep: columns that stand before the verdicts, as they are. binary: the program on the node (default:
    $VAEGUARD_BINARY, else the package's own, else that on PATH). flags: further ones of vaeguard detect. The columns out are those
    of vaeguard.spark.detect.
    """

    def __init__(
        self,
        detector: str,
        keep: Sequence[str] = (),
        binary: Optional[str] = None,
        allow_command: Union[str, Sequence[str]] = (),
        flags: Sequence[str] = (),
    ) -> None:
        self._keep = list(keep)
        self._open = (detector, _program.find(binary), _arrow.arguments(allow_command, flags))
        self._guard: Optional[_arrow.ArrowDetector] = None
        self._schema: Any = None

    def __call__(self, rows: pa.Table) -> pa.Table:
        """The verdicts of a block. Raises ValueError for a column to keep that is not there, RuntimeError if vaeguard ends, and
        starts it again for the next."""
        batches: List[pa.RecordBatch] = rows.combine_chunks().to_batches()
        if not batches:
            batches = [pa.RecordBatch.from_arrays([pa.array([], f.type) for f in rows.schema], schema=rows.schema)]
        _arrow.kept(batches[0], self._keep)
        schema = _arrow.plain(batches[0]).schema
        if self._guard is None or schema != self._schema:
            self.close()
            self._guard, self._schema = _arrow.ArrowDetector(*self._open), schema
        try:
            return pa.Table.from_batches([_arrow.verdicts(b, a, self._keep) for b, a in self._guard.stream(batches)])
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends the process; the next block starts another."""
        if self._guard is not None:
            self._guard.close()
            self._guard = None

    def __del__(self) -> None:
        if getattr(self, "_guard", None) is not None:
            self.close()
