#!/usr/bin/env python3
"""Runs the notebooks of this folder in a kernel of this interpreter; fails if a cell does, or if outputs are kept in a file."""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

for path in sorted(Path(__file__).resolve().parent.glob("*.ipynb")):
    notebook = nbformat.read(path, as_version=4)
    kept = [i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code" and (cell.outputs or cell.execution_count)]
    if kept:
        sys.exit(f"{path.name}: cells {kept} have outputs; strip them")
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    print(path.name, "runs")
