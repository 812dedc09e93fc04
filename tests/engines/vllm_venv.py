"""Where the tests that need vLLM find it, and how near to each other two logits are a tie."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-vllm" / "bin" / "python"
MARKS = [
    pytest.mark.slow,
    pytest.mark.venv,
    pytest.mark.skipif(not PYTHON.is_file(), reason="no .venv-vllm here: make test-vllm installs vLLM"),
]
TIE = 1e-4  # between the two largest logits: which of them is larger is then rounding
