"""Flags of a real PyTorch; skipped where none is installed."""

import importlib.util
import json
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="PyTorch is not installed"
)


def flags_after(script: str) -> dict:
    program = [
        "import json, warnings",
        "warnings.simplefilter('error')",
        "from trialbook.capture.numerics import determinism_flags",
        "import torch",
        textwrap.dedent(script),
        "print(json.dumps(determinism_flags()))",
    ]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(program)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_every_flag_is_told():
    flags = flags_after("")
    assert flags["torch.deterministic_algorithms"] is False
    assert flags["torch.default_dtype"] == "torch.float32"
    assert flags["torch.num_threads"] >= 1
    assert not [name for name, value in flags.items() if str(value).startswith("unknown")]


@pytest.mark.slow
def test_what_a_program_sets_is_told():
    flags = flags_after(
        """
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.backends.cudnn.benchmark = True
        torch.set_default_dtype(torch.float64)
        torch.set_num_threads(1)
        """
    )
    assert flags["torch.deterministic_algorithms"] is True
    assert flags["torch.deterministic_warn_only"] is True
    assert flags["torch.cudnn.benchmark"] is True
    assert flags["torch.default_dtype"] == "torch.float64"
    assert flags["torch.num_threads"] == 1


@pytest.mark.slow
def test_the_newer_precision_flags_stand_in_for_the_older():
    flags = flags_after(
        """
        if hasattr(torch.backends, "fp32_precision"):
            torch.backends.fp32_precision = "tf32"
        """
    )
    assert not [name for name, value in flags.items() if str(value).startswith("unknown")]
    if "torch.backends.fp32_precision" in flags:
        assert flags["torch.backends.fp32_precision"] == "tf32"
        assert "torch.matmul.allow_tf32" not in flags
