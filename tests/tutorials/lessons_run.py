"""The lessons that the tests of the course run on, and the command on them."""

from __future__ import annotations

from pathlib import Path

LESSONS = Path(__file__).parent / "lessons"
FIRST, SECOND = sorted(LESSONS.glob("*.py"))
