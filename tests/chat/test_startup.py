"""What is imported when: torch, transformers and faiss take seconds, so they wait for a call.

Without safetensors and torch no weights are read either.
"""

import subprocess
import sys

import pytest

HEAVY = ["torch", "transformers", "safetensors", "faiss", "sqlalchemy", "sympy"]


def imported_by(code: str) -> list[str]:
    """Run code in a fresh process and return which heavy modules it imported."""
    code += f"\nimport sys\nprint(*[name for name in {HEAVY} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout.split()


def test_nothing_heavy_before_the_first_call():
    code = (
        "import latent_agent\n"
        "from latent_agent import ChatLatentSeek, ExactMatch, SelfReward, WeightedSum\n"
        "ChatLatentSeek(model='bundled')"
    )
    assert imported_by(code) == []


def test_the_package_itself_needs_the_standard_library_alone():
    code = (
        "import sys; before = set(sys.modules); import latent_agent; "
        "new = {name.split('.')[0] for name in sys.modules.keys() - before}; "
        "assert new <= sys.stdlib_module_names | {'latent_agent'}, new"
    )
    imported_by(code)


@pytest.mark.slow
def test_the_first_call_imports_what_it_needs():
    code = (
        "from latent_agent import ChatLatentSeek\n"
        "ChatLatentSeek(model='bundled', memory=None, max_tokens=2).invoke('1')"
    )
    assert {"torch", "transformers"} <= set(imported_by(code))
