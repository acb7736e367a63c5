"""``python -m dev.extras``: each extra beside the wheel in an environment of its own, and tried.

Each is installed as the docs and error messages say: the wheel first, then ``pip install
"latent-agent[EXTRA]"``, which must find the package where it is. ``dev`` and ``docs`` are what
``make test`` and ``make docs`` install.
"""

import subprocess
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from latent_agent.errors import SettingError

_ROOT = Path(__file__).parents[1]
_QUESTION = "Today is Monday. The trip of Tom was 3 days ago. What day was the trip?"
_SERVED = """
import re, subprocess, sys, urllib.request
server = subprocess.Popen(["latent-agent", "serve", "--port", "0", "--no-memory"],
                          stderr=subprocess.PIPE, text=True)
try:
    url = next(found[0] for line in server.stderr if (found := re.search(r"http://[0-9.:]+", line)))
    assert urllib.request.urlopen(url + "/healthz").status == 200
finally:
    server.terminate()
    server.communicate(timeout=60)
"""
# What shows that an extra does what it is for: words of a shell, in the environment.
_TRIED = {
    "": f"latent-agent ask '{_QUESTION}' --no-memory | grep Friday",
    "plot": "python -c 'from matplotlib.figure import Figure; Figure()'",
    "evaluate": "latent-agent evaluate --questions 2 --methods greedy --quiet --out evaluation",
    "telemetry": "python -c 'import opentelemetry.trace, latent_agent.telemetry'",
    "server": f"python -c '{_SERVED}'",
    "chat": f"echo '{_QUESTION}' | latent-agent chat --no-memory | grep Friday",
    "gguf": "python -c 'import accelerate, latent_agent.model.gguf.header as it; it'",
    "llama-cpp": "python -c 'import llama_cpp'",
    "postgres": "python -c 'import psycopg, pgvector'",
}
_BUILT = {"llama-cpp"}


def extras(
    wheel: Annotated[Path, typer.Argument(help="What `python -m build` made.")],
    only: Annotated[
        list[str] | None, typer.Option(help="Only this extra; several times. '': none.")
    ] = None,
    build: Annotated[
        bool, typer.Option("--build", help="Also what is built from source, for minutes.")
    ] = False,
) -> None:
    """Install each extra from the wheel, and try it; exit code 1 if one fails."""
    chosen = only or [name for name in _TRIED if build or name not in _BUILT]
    if unknown := set(chosen) - set(_TRIED):
        raise SettingError(
            f"--only must be one of {', '.join(map(repr, _TRIED))}, got {unknown.pop()!r}; leave "
            "it out for all"
        )
    failed = [name for name in chosen if not _works(name, wheel.resolve())]
    raise typer.Exit(bool(failed))


def _works(extra: str, wheel: Path) -> bool:
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        pip = "python -m pip install --quiet --no-compile -c " + str(_ROOT / "constraints.txt")
        steps = [f"{pip} '{wheel}'", f"{pip} 'latent-agent[{extra}]'" if extra else "true"]
        steps += ["python -m pip check", _TRIED[extra]]
        subprocess.run(["python3", "-m", "venv", f"{folder}/venv"], check=True)
        script = f"export HOME={folder} PATH={folder}/venv/bin:$PATH; cd {folder}; "
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script + "\n".join(steps)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    works = done.returncode == 0
    typer.echo(
        f"{extra or 'none':<10} {'works' if works else 'FAILS'}, {time.monotonic() - began:.0f} s"
    )
    if not works:
        typer.echo(done.stdout[-2000:] + done.stderr[-4000:], err=True)
    return works


if __name__ == "__main__":
    typer.run(extras)
