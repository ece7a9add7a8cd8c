"""Build of the compiled parts; everything declarative stands in pyproject.toml.

`shm/layout.py` is the only place where the bytes of a record are declared. Before the extensions are compiled it is
loaded here, on its own, and written out as C structs (`shm/records.pxd`) and type stubs (`shm/records.pyi`), so that
Cython code and type checkers see the same fields without anybody repeating an offset.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import picows
from Cython.Build import cythonize
from setuptools import Extension, setup

ROOT = Path(__file__).parent
os.chdir(ROOT)
sys.path.insert(0, str(ROOT))

from shm import codegen  # noqa: E402  (needs the path above)

codegen.write_generated(ROOT / "shm")

SANITIZE = os.environ.get("CORELANE_SANITIZE", "")  # e.g. "address,undefined"
compile_args = [
    "-std=c11",
    "-O3",
    "-fno-strict-aliasing",
    "-Wall",
    "-Wextra",
    "-Wno-unused-parameter",
    "-Wno-missing-field-initializers",
    "-Wno-cast-function-type",
    "-Wno-unused-function",
    "-Wno-sign-compare",
]
link_args: list[str] = []
if SANITIZE:
    compile_args += [f"-fsanitize={SANITIZE}", "-fno-omit-frame-pointer", "-g", "-O1"]
    link_args += [f"-fsanitize={SANITIZE}"]

sources = sorted(path for package in ("shm", "exchanges", "strategy") for path in Path(package).rglob("*.pyx"))
extensions = [
    Extension(
        ".".join(path.with_suffix("").parts),
        [str(path)],
        include_dirs=["shm", str(Path(picows.__file__).parent)],
        depends=["shm/atomics.h", "shm/records.h", "shm/records.pxd"],
        extra_compile_args=compile_args,
        extra_link_args=link_args,
    )
    for path in sources
]

# `pip install -e` builds in a folder of its own and would compile everything a second time, on one core: the Makefile
# has compiled in place before, so there is nothing left to build then.
compiled = bool(os.environ.get("CORELANE_COMPILED"))
setup(ext_modules=[] if compiled else cythonize(extensions, language_level=3, quiet=True))
