"""Build the compiled parts with -fsanitize=address,undefined in a folder of their own and run their tests there.

    python -m tests.shm.sanitized [pytest arguments]

Who calls it: `make sanitize`, and whoever changed C or Cython. The normal build in the source tree stays as it is:
what the sanitizers need stands in build/sanitized/, which is put before the source tree on the path. The sanitizer's
runtime is loaded before the interpreter, because the interpreter itself is not built with it; leaks are not looked
for, since the interpreter keeps what it keeps.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
OUTPUT = ROOT / "build" / "sanitized"
# Its rate and its size in memory are not those of the real build, and under the sanitizer mlock() does nothing.
SKIPPED = "not million_publishes and not rate_leaves and not keeps_no_memory and not memlock_limit"


# What scans bytes from outside, writes text and moves memory about: a wrong index is found here, not in a crash later.
TESTS = [
    "tests/shm",
    "tests/exchanges/test_order_book.py",
    "tests/exchanges/test_decimal_text.py",
    "tests/exchanges/binance/test_fast_decode.py",
    "tests/exchanges/binance/test_fast_encode.py",
    "tests/exchanges/deribit/test_fast_encode.py",
]


def build() -> None:
    environment = os.environ | {"CORELANE_SANITIZE": "address,undefined"}
    temporary = ROOT / "build" / "sanitized-objects"
    shutil.rmtree(OUTPUT, ignore_errors=True)
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build", "--build-lib", str(OUTPUT), "--build-temp", str(temporary)],
        cwd=ROOT, env=environment, check=True,
    )  # fmt: skip


def runtime() -> str:
    """The libraries to load first, as the compiler names them."""
    compiler = os.environ.get("CC", "cc")
    return " ".join(
        subprocess.run(
            [compiler, f"-print-file-name={name}"], check=True, capture_output=True, text=True
        ).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    )


def main() -> int:
    build()
    environment = os.environ | {
        "LD_PRELOAD": runtime(),
        "ASAN_OPTIONS": "detect_leaks=0,abort_on_error=1,handle_segv=0",
        "UBSAN_OPTIONS": "halt_on_error=1,print_stacktrace=1",
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": str(OUTPUT),
    }
    # Not `python -m pytest`: that would put the source tree, and its normal build, first.
    pytest = str(Path(sys.executable).with_name("pytest"))
    arguments = sys.argv[1:] or TESTS
    command = [pytest, "-q", "-o", f"pythonpath={OUTPUT} {ROOT}", "-p", "no:cacheprovider", "-k", SKIPPED, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
