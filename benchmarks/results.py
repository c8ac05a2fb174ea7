"""RESULTS.md: sections that are written again when they are measured again, and some kept by hand.

A section is all from its heading to the next; those that no benchmark writes are left as they are,
after the others.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")
TITLE = "# Measured"


def put_sections(new: Mapping[str, str], order: Sequence[str], path: Path = RESULTS) -> None:
    """Replace the sections with these headings, and lay the file out anew.

    Parameters
    ----------
    new : mapping of str to str
        Heading to text.
    order : sequence of str
        All headings that benchmarks write, as they are to stand.
    path : Path
    """
    before = path.read_text("utf-8") if path.exists() else TITLE
    title, *sections = re.split(r"(?m)^## ", before)
    found = dict(section.split("\n", 1) for section in sections)
    found = {heading: text.strip() for heading, text in found.items()} | dict(new)
    ranks = {heading: rank for rank, heading in enumerate(order)}
    headings = sorted(found, key=lambda heading: ranks.get(heading, len(ranks)))
    parts = [title.strip(), *(f"## {heading}\n\n{found[heading].strip()}" for heading in headings)]
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """In Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def environment(packages: Sequence[str]) -> str:
    """The machine, the versions of those that are installed, and the date, in a line."""
    versions = []
    for name in packages:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    model = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = re.search(r"model name\s*: (.*)", cpuinfo.read_text())
        model = found[1] if found else model
    return (
        f"{os.cpu_count()} cores, {model}; Python {platform.python_version()}, "
        f"{', '.join(versions)}; {datetime.date.today()}"
    )
