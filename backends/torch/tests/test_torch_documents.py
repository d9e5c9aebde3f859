"""What the page on networks inside PyTorch and JAX programs shows of PyTorch is what happens."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[3] / "docs" / "torch-and-jax.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
OURS = [block for block in BLOCKS if "isograd_torch" in block]


@pytest.mark.parametrize("block", OURS, ids=range(len(OURS)))
def test_a_block_of_the_page_runs(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(block, PAGE.name, "exec"), {"print": lambda *values: None})
