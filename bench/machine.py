"""The machine of a measurement, and how busy others keep it."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

MB = 1_000_000


def machine() -> dict[str, Any]:
    """What figures depend on, now."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def processor() -> str:
    """Its name, as Linux has it; elsewhere its family."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def resident(pid: int) -> float:
    """Resident memory of a process in MB."""
    return float(psutil.Process(pid).memory_info().rss) / MB
