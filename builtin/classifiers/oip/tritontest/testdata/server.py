"""Triton with two models of scikit-learn: server.py FOLDER MODEL.PY writes them, and prints rows and what the models say of them;
server.py FOLDER HTTP_PORT GRPC_PORT METRICS_PORT becomes Triton, which serves them.

Of "digits" a request may have eight rows, of "open" any number. Triton loads "digits" at its start, and others when it is told to."""
import json
import os
import shutil
import sys
from pathlib import Path

folder = Path(sys.argv[1])
CONFIG = """backend: "python"
max_batch_size: %d
input [{name: "pixels" data_type: TYPE_FP32 dims: [%s64]}]
output [{name: "predict_proba" data_type: TYPE_FP32 dims: [%s10] label_filename: "names.txt"}, {name: "predict" data_type: TYPE_INT64 dims: [%s1]}]
"""


def write():
    import joblib
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    model = LogisticRegression(max_iter=300).fit(x[:1200], y[:1200])
    for name, most in ("digits", 8), ("open", 0):
        home = folder / "models" / name
        (home / "1").mkdir(parents=True)
        shutil.copy(sys.argv[2], home / "1" / "model.py")
        joblib.dump(model, home / "model.joblib")
        batch = "" if most else "-1, "
        (home / "config.pbtxt").write_text(CONFIG % (most, batch, batch, batch))
        (home / "names.txt").write_text("".join(f"digit {i}\n" for i in range(10)))
    rows = x[1200:1240]
    json.dump({"rows": rows.tolist(), "want": model.predict_proba(rows).tolist()}, sys.stdout)


def serve(http, grpc, metrics):
    from pytriton.utils.distribution import get_libs_path, get_root_module_path, get_stub_path

    triton = get_root_module_path() / "tritonserver"
    backends = folder / "backends"
    shutil.copytree(triton / "backends", backends)
    stub = backends / "python" / "triton_python_backend_stub"
    shutil.copy(get_stub_path(f"{sys.version_info.major}.{sys.version_info.minor}"), stub)
    stub.chmod(0o755)
    program = triton / "bin" / "tritonserver"
    site = str(get_root_module_path().parent)
    env = dict(os.environ, LD_LIBRARY_PATH=str(get_libs_path()), PYTHONPATH=site, PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    os.execve(program, [str(program), f"--model-repository={folder / 'models'}", f"--backend-directory={backends}", "--model-control-mode=explicit",
                        "--load-model=digits", "--http-address=127.0.0.1", f"--http-port={http}", "--grpc-address=127.0.0.1", f"--grpc-port={grpc}",
                        "--metrics-address=127.0.0.1", f"--metrics-port={metrics}", "--exit-timeout-secs=1"], env)


write() if len(sys.argv) == 3 else serve(*map(int, sys.argv[2:]))
