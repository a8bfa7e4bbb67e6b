"""How two things are compared: measured in turn, several times, by their medians. And what Linux says of a process' memory."""

from collections.abc import Callable
from pathlib import Path
from statistics import median

from tests.torture import children


def alternate(ours: Callable[[], float], reference: Callable[[], float], rounds: int) -> tuple[float, float]:
    """The medians of ``rounds`` measurements of each, made in turn, so that a slow minute of the machine hits both."""
    pairs = [(ours(), reference()) for _ in range(rounds)]
    return median(one for one, _ in pairs), median(other for _, other in pairs)


def resident_mb(pid: int) -> float:
    """Resident memory in MB of the largest process of a server: its worker."""
    return max(_status(one, "VmRSS") for one in (pid, *children(pid)))


def peak_mb(pid: int) -> float:
    """The most that the largest process of a server held resident since ``forget_peak``, in MB."""
    return max(_status(one, "VmHWM") for one in (pid, *children(pid)))


def forget_peak(pid: int) -> None:
    """Let the peaks of a server's processes begin at what they hold now."""
    for one in (pid, *children(pid)):
        Path(f"/proc/{one}/clear_refs").write_text("5")


def _status(pid: int, key: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key + ":")) * 1024 / 1e6
