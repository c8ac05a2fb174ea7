"""Plans of NumPy, whether Numba is installed or not; `test_fused` asks for kernels itself."""

from __future__ import annotations

import pytest

from tinygradrnn.compiler import compiled


@pytest.fixture(autouse=True)
def without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = compiled.wanted
    monkeypatch.setattr(compiled, "wanted", lambda fast: fast is not None and asked(fast))
