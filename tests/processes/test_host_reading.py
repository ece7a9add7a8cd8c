"""The forms in which the kernel writes sets of CPUs and choices."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from processes.doctor_finding import shown
from processes.host_reading import Host, chosen, cpu_list, cpu_mask

CORES = st.sets(st.integers(0, 200))


@given(CORES)
def test_a_list_is_read_as_it_was_written(cores: set[int]) -> None:
    assert cpu_list(shown(cores)) == cores


@given(CORES)
def test_a_mask_is_read_with_its_commas(cores: set[int]) -> None:
    digits = f"{sum(1 << core for core in cores):056x}"
    assert cpu_mask(",".join(digits[at : at + 8] for at in range(0, 56, 8)) + "\n") == cores


def test_what_is_not_set_is_empty() -> None:
    assert cpu_list("(null)") == cpu_list("") == set()
    assert cpu_mask("") == cpu_mask("(null)") == set()


def test_the_chosen_word_stands_in_brackets_or_alone() -> None:
    assert chosen("always [madvise] never") == "madvise"
    assert chosen("tsc\n") == "tsc"


def test_device_interrupts_are_counted_without_the_kernels_own(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/interrupts").write_text(
        "           CPU0       CPU2\n 24:  10  5  PCI-MSI nvme0q0\n 25:   0  7  PCI-MSI eth0\nLOC: 900 900 timer\n"
    )
    assert Host(tmp_path).irq_counts() == {0: 10, 2: 12}
