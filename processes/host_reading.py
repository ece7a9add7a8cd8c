"""What the kernel says of a host, read from /proc and /sys in the forms in which it says it.

The rule: a file that is missing is None and never a failure (this kernel, driver or virtual machine has no such knob);
nothing is written. Another root than / is a recorded or composed tree. Called by the doctor, `core_suggestion.py` and
`host_tuning.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path


def cpu_list(text: str) -> set[int]:
    """CPUs of a list like "0-3,7"; empty for an unset one, which reads "" or "(null)"."""
    cores: set[int] = set()
    for part in re.findall(r"\d+(?:-\d+)?", text):
        first, _, last = part.partition("-")
        cores |= set(range(int(first), int(last or first) + 1))
    return cores


def cpu_mask(text: str) -> set[int]:
    """CPUs of a hex mask with commas every 32 bits, like "00000001,0000000f"."""
    digits = text.strip().replace(",", "")
    if not re.fullmatch(r"[0-9a-fA-F]+", digits):
        return set()
    bits = int(digits, 16)
    return {core for core in range(bits.bit_length()) if bits >> core & 1}


def chosen(text: str) -> str:
    """The chosen word of a file that shows all: "always [madvise] never" → "madvise"."""
    match = re.search(r"\[(\S+)\]", text)
    return match[1] if match else text.strip()


class Host:
    """The /proc and /sys below a root."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root

    def path(self, name: str) -> Path:
        return self.root / name.lstrip("/")

    def text(self, name: str) -> str | None:
        """The file's text, stripped; None where it is missing or may not be read."""
        try:
            return self.path(name).read_text("utf-8", "replace").strip()
        except OSError:
            return None

    def number(self, name: str) -> int | None:
        text = self.text(name)
        return int(text) if text is not None and re.fullmatch(r"-?\d+", text) else None

    def glob(self, pattern: str) -> list[str]:
        """Names below the root that match, sorted."""
        return sorted(f"/{found.relative_to(self.root)}" for found in self.root.glob(pattern.lstrip("/")))

    @property
    def cores(self) -> set[int]:
        """CPUs that are online."""
        online = cpu_list(self.text("/sys/devices/system/cpu/online") or "")
        return online or {0}

    def siblings(self, core: int) -> set[int]:
        """Hardware threads of the same physical core, itself among them."""
        text = self.text(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
        return cpu_list(text or "") | {core}

    def node_of(self, core: int) -> int:
        """The NUMA node of a core; 0 where there are none."""
        for name in self.glob(f"/sys/devices/system/cpu/cpu{core}/node*"):
            if (number := name.rpartition("node")[2]).isdigit():
                return int(number)
        return 0

    def isolated(self) -> set[int]:
        """CPUs that the boot (isolcpus=) took out of load balancing."""
        return cpu_list(self.text("/sys/devices/system/cpu/isolated") or "")

    def irq_counts(self) -> dict[int, int]:
        """{core: device interrupts since boot}; rows with letters (timer, calls) are the kernel's own."""
        lines = (self.text("/proc/interrupts") or "").splitlines()
        columns = [int(name) for name in re.findall(r"CPU(\d+)", lines[0])] if lines else []
        counts = dict.fromkeys(columns, 0)
        for line in lines[1:]:
            name, _, rest = line.strip().partition(":")
            if name.isdigit():
                for core, word in zip(columns, rest.split(), strict=False):
                    counts[core] += int(word) if word.isdigit() else 0
        return counts

    def irq_affinities(self) -> Iterator[tuple[int, set[int]]]:
        """(interrupt, CPUs on which it really fires) of every device interrupt."""
        for name in self.glob("/proc/irq/*/effective_affinity_list") or self.glob("/proc/irq/*/smp_affinity_list"):
            number = name.split("/")[3]
            if number.isdigit():
                yield int(number), cpu_list(self.text(name) or "")

    def network_nodes(self) -> set[int]:
        """NUMA nodes of the network devices that are hardware."""
        nodes = {self.number(name) for name in self.glob("/sys/class/net/*/device/numa_node")}
        return {node for node in nodes if node is not None and node >= 0}

    def processes_named(self, name: str) -> list[int]:
        """Pids of processes of that (15 character) name."""
        found = [path for path in self.glob("/proc/[0-9]*/comm") if self.text(path) == name]
        return [int(path.split("/")[2]) for path in found]
