"""RESULTS.md: one section for each benchmark, replaced when it is measured again."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import re
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")
TITLE = "# Measured\n\nEach section is written by the script it is named after.\n"


def put_section(name: str, text: str) -> Path:
    """Replace the section of a benchmark, or add it at the end."""
    before = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else TITLE
    sections = re.split(r"(?m)^(?=## )", before)
    kept = [section for section in sections if not section.startswith(f"## `{name}`\n")]
    RESULTS.write_text(
        "\n".join(part.strip() + "\n" for part in [*kept, f"## `{name}`\n\n{text}"]),
        encoding="utf-8",
    )
    return RESULTS


def environment(*packages: str) -> str:
    """The machine, the versions and the date, in a line."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    model = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = re.search(r"model name\s*: (.*)", cpuinfo.read_text())
        model = found[1] if found else model
    return (
        f"{os.cpu_count()} cores, {model}; Python {platform.python_version()}, {versions}; "
        f"{datetime.date.today()}."
    )
