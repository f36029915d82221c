"""`import graphc` loads numpy and the standard library, and little else."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("networkx", "jinja2", "cffi", "_cffi_backend", "pycparser", "pycuda", "ml_dtypes",
         "filelock", "platformdirs", "torch")  # fmt: skip

SCRIPT = """
import sys, time
start = time.perf_counter()
import numpy
middle = time.perf_counter()
before = set(sys.modules)
import graphc
end = time.perf_counter()
print((end - middle) * 1e3)
print(*sorted(set(sys.modules) - before))
"""


def test_import_is_light():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    milliseconds, loaded = done.stdout.splitlines()
    print(f"import graphc: {float(milliseconds):.0f} ms over numpy")
    assert not set(HEAVY) & set(loaded.split())
    assert not done.stderr
