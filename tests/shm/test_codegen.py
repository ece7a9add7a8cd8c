"""shm/codegen.py: C structs and stubs that say what layout.py says."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from shm import codegen, layout
from shm.stall import StallPoint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(layout.__file__, tmp_path / "layout.py")
    codegen.write_generated(tmp_path)
    return tmp_path


def test_the_generated_files_are_those_that_the_build_used(folder: Path) -> None:
    built = Path(layout.__file__).parent
    for name in ("records.h", "records.pxd", "records.pyi"):
        assert (folder / name).read_text() == (built / name).read_text(), f"{name}: run the build"


def test_unchanged_files_are_not_written_again(folder: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    codegen.write_generated(folder)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_the_c_compiler_finds_every_field_where_numpy_has_it(folder: Path) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    structs = {codegen.class_name(kind.name) + "Record": dtype for kind, dtype in layout.RECORD_DTYPES.items()}
    structs["SegmentHeader"] = layout.SEGMENT_HEADER
    lines = ["#include <stdio.h>", '#include "records.h"', "int main(void) {"]
    expected = []
    for name, dtype in structs.items():
        lines.append(f'printf("{name} %zu\\n", sizeof({name}));')
        expected.append(f"{name} {dtype.itemsize}")
        for field in dtype.names or ():
            assert dtype.fields is not None
            kind, offset = dtype.fields[field][:2]
            lines.append(
                f'printf("{name}.{field} %zu %zu\\n", offsetof({name}, {field}), sizeof((({name}*)0)->{field}));'
            )
            expected.append(f"{name}.{field} {offset} {kind.itemsize}")
    for code, dtype in ((int(kind), dtype) for kind, dtype in layout.RECORD_DTYPES.items()):
        lines.append(f'printf("{code} %d %d\\n", CL_RECORD_SIZES[{code}], CL_PUBLISH_TIME_OFFSETS[{code}]);')
        assert dtype.fields is not None
        offset = dtype.fields["publish_time_ns"][1] if "publish_time_ns" in dtype.fields else -1
        expected.append(f"{code} {dtype.itemsize} {offset}")
    lines.append('printf("%llx\\n", (unsigned long long)CL_LAYOUT_HASH); return 0; }')
    expected.append(f"{layout.LAYOUT_HASH:x}")
    (folder / "offsets.c").write_text("\n".join(lines))
    subprocess.run([compiler, "-std=c11", "-o", folder / "offsets", folder / "offsets.c"], check=True, timeout=60)
    output = subprocess.run([folder / "offsets"], check=True, capture_output=True, text=True, timeout=10).stdout
    assert output.split("\n")[:-1] == expected


def test_a_class_name_is_the_kind_in_camel_case() -> None:
    assert codegen.class_name("ORDER_EVENT") == "OrderEvent"
    assert codegen.class_name("LOG") == "Log"


@pytest.mark.parametrize("source", ["ring.pyx", "table.pyx"])
def test_the_stall_points_have_the_same_numbers_in_the_compiled_parts(source: str) -> None:
    # The tree's own sources: what is imported may be a build elsewhere that holds none.
    text = (Path(__file__).parents[2] / "shm" / source).read_text()
    found = dict(re.findall(r"^    ([A-Z]+) = (\d+)$", text, re.MULTILINE))
    assert found
    for name, number in found.items():
        assert StallPoint[name] == int(number)
