"""What this process may use: processors as a control group grants them, and instruction sets.

Affinity and OpenMP's settings are OpenMP's to know.
"""

from __future__ import annotations

import math
from pathlib import Path

from . import _kernels
from ._errors import ConfigError


def cgroup_quota(root: str = "/sys/fs/cgroup", own: str = "/proc/self/cgroup") -> int:
    """Return the processors that the control group's CPU quota amounts to, rounded up; 0 where there is no limit.

    The tightest quota on the way from the process's own group to the root counts, as the kernel enforces each.
    """
    quotas = [_v2(folder) for folder in _lineage(Path(root), own)]
    quotas.append(_v1(Path(root, "cpu")))
    found = [quota for quota in quotas if quota > 0]
    return max(1, math.ceil(min(found))) if found else 0


def _lineage(root: Path, own: str) -> list[Path]:
    try:
        lines = Path(own).read_text().splitlines()
    except OSError:
        lines = []
    group = next((line[3:] for line in lines if line.startswith("0::")), "/").strip("/")
    folder = root / group
    return [folder, *(parent for parent in folder.parents if parent.is_relative_to(root))]


def _v2(folder: Path) -> float:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return 0 if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return 0


def _v1(folder: Path) -> float:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        return max(quota, 0) / int((folder / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError, ZeroDivisionError):
        return 0


def choose_isa(cap: str) -> str:
    """Return the best instruction set that runs here, none better than `cap` ('' for no cap)."""
    rows = _kernels.isas()
    names = [name for name, _ in rows]
    here = [name for name, runs_here in rows if runs_here]
    if not cap:
        return here[0]
    if cap not in here:
        reason = "which this processor does not have" if cap in names else "which is none"
        raise ConfigError(
            f"the environment variable FASTCONV_ISA asks for {cap[:60]!r}, {reason}; "
            f"this machine has {', '.join(here)}."
        )
    return cap


def isa_source(isa: str, cap: str) -> str:
    """Return why an instruction set is used, where `cap` is what FASTCONV_ISA says."""
    return {choose_isa(""): "the best that runs here", cap: "FASTCONV_ISA"}.get(isa, "the backend itself")
