"""The examples, each on a real model, as their reader would run them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
# A day of questions and two nights: hours.
TOO_LONG = "assistant_with_nights.py"

pytestmark = [pytest.mark.real, pytest.mark.timeout(3600)]


@pytest.mark.parametrize(
    "name", sorted(file.name for file in EXAMPLES.glob("*.py") if file.name != TOO_LONG)
)
def test_it_runs(name: str, real_model: Path, home: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        cwd=home,
        env={**os.environ, "MODEL": str(real_model), "DATA": str(EXAMPLES / "data" / "gsm8k.jsonl")}
        | {"QUESTIONS": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert not list(home.rglob("*.sqlite3*")), "a memory was left behind"
