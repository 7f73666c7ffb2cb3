import importlib.util
import inspect
import json
import os
import subprocess
import sys
import tempfile
import unittest

import vaeguard

# Prints what differs after the imports: in the environment, the standard streams and descriptors, the signal handlers,
# the threads, the working folder, the search path and hooks of the interpreter.
PROBE = """
import atexit, json, os, signal, sys, threading, warnings
import numpy

def state():
    return {
        "environment": dict(os.environ),
        "streams": [repr(s) + str(s.line_buffering) for s in (sys.stdin, sys.stdout, sys.stderr)],
        "descriptors": [os.fstat(fd)[:3] for fd in (0, 1, 2)],
        "open": sorted(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else [],
        "signals": [str(signal.getsignal(s)) for s in sorted(signal.valid_signals())],
        "threads": sorted(t.name for t in threading.enumerate()),
        "exits": atexit._ncallbacks(),
        "hooks": [repr(sys.excepthook), repr(threading.excepthook), repr(sys.meta_path), repr(sys.path_hooks), repr(sys.gettrace())],
        "path": sys.path,
        "arguments": sys.argv,
        "folder": os.getcwd(),
        "mask": os.umask(os.umask(0o22)),
        "warnings": repr(warnings.filters),
        "errors": repr(numpy.geterr()),
    }

before = state()
for name in json.loads(sys.argv[1]):
    __import__(name)
after = state()
print(json.dumps({"changed": [k for k in before if before[k] != after[k]], "modules": sorted(sys.modules)}))
"""


# What a module had better not do when it is imported.
RUDE = """
import atexit, os, signal, sys, threading
del os.environ["VAEGUARD_PLUGIN"]
spare = os.dup(1)
os.dup2(2, 1)
sys.stdout.reconfigure(line_buffering=True)
signal.signal(signal.SIGINT, signal.SIG_IGN)
threading.Thread(target=threading.Event().wait, daemon=True).start()
atexit.register(os.write, spare, b"")
os.write(spare, b"")
sys.stdout = os.fdopen(spare, "w")
"""

HERE = os.path.dirname(os.path.dirname(os.path.abspath(vaeguard.__file__)))


class Import(unittest.TestCase):
    def probe(self, *names, path=""):
        # With all that serve reads and takes away.
        env = dict(os.environ, VAEGUARD_PLUGIN="classifier", VAEGUARD_DEATH_WATCH="stdin", PLUGIN_PROTOCOL_VERSIONS="1")
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [path, HERE, env.get("PYTHONPATH", "")]))
        got = subprocess.run(
            [sys.executable, "-c", PROBE, json.dumps(names)], env=env, stdin=subprocess.PIPE, check=True, capture_output=True, text=True
        )
        self.assertEqual(got.stderr, "")
        return json.loads(got.stdout)

    def test_changes_nothing(self):
        self.assertEqual(self.probe("vaeguard", "vaeguard.check", "vaeguard.detector")["changed"], [])

    def test_the_probe_sees_changes(self):
        with tempfile.TemporaryDirectory() as d:
            with open(os.path.join(d, "rude.py"), "w") as f:
                f.write(RUDE)
            found = self.probe("rude", path=d)["changed"]
        want = ["environment", "streams", "descriptors", "open", "signals", "threads", "exits"]
        if not os.path.isdir("/proc/self/fd"):
            want.remove("open")
        self.assertEqual(found, want)

    def test_loads_nothing_heavy(self):
        modules = self.probe("vaeguard", "vaeguard.check", "vaeguard.sklearn")["modules"]
        self.assertIn("vaeguard._server", modules)
        for heavy in ("grpc", "torch", "sklearn", "joblib", "tensorflow", "keras", "cryptography", "concurrent.futures"):
            self.assertNotIn(heavy, modules)
        self.assertNotIn("vaeguard.detector", self.probe("vaeguard")["modules"])

    def test_submodules_come_when_they_are_asked_for(self):
        self.assertEqual(vaeguard.sklearn.Sklearn.__name__, "Sklearn")
        self.assertIs(vaeguard.Detector, vaeguard.detector.Detector)
        if importlib.util.find_spec("torch") is None:
            with self.assertRaises(ImportError):
                vaeguard.torch  # noqa: B018
        with self.assertRaises(AttributeError):
            vaeguard.nothing  # noqa: B018


class Public(unittest.TestCase):
    def test_names(self):
        for name in vaeguard.__all__:
            self.assertTrue(hasattr(vaeguard, name), name)
        for name in ("Classifier", "ConfigError", "Detector", "Error", "check_config", "claim_stdout", "handlers", "serve"):
            self.assertTrue(inspect.getdoc(getattr(vaeguard, name)), name)

    def test_typed(self):
        self.assertTrue(os.path.isfile(os.path.join(os.path.dirname(vaeguard.__file__), "py.typed")))

    def test_serve_without_a_host(self):
        code = "import vaeguard; vaeguard.claim_stdout(); print('still here'); vaeguard.serve(vaeguard.Classifier())"
        env = {k: v for k, v in os.environ.items() if k != "VAEGUARD_PLUGIN"}
        got = subprocess.run([sys.executable, "-c", code], env=env, check=False, capture_output=True, text=True)
        self.assertEqual((got.returncode, got.stdout), (1, "still here\n"))
        self.assertIn("is a classifier plugin for vaeguard", got.stderr)


if __name__ == "__main__":
    unittest.main()
