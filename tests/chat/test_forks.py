"""Workers that are forked from a process which has loaded a model: gunicorn's preload, Celery."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
ANSWERS = """\
a call
a call in a thread
a stream of drafts
a child of a child
torch's other pool
a fork within a call
others ask
while another thread holds the registry of models
while another thread holds the model
while another thread holds the model's pass
while another thread holds a group
while another thread holds a turn
while another thread holds the queue
while another thread holds the batch
while another thread holds the grammars
while another thread holds the warnings
while another thread holds the memories""".splitlines()


@pytest.mark.slow
def test_a_forked_child_answers_or_says_what_to_do(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.forking_process", str(tmp_path / "m.sqlite3")],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},  # threads that wait leave the cores alone
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    said = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    refused = {
        name: re.sub(r"process (\d+)|(?<=it, )(\d+)", "process N", said.pop(name))
        for name in ("a transaction", "a stream begun by the parent", "a model on a GPU")
    }
    assert said == {
        **dict.fromkeys(ANSWERS, "answers"),
        "a backward pass": "True",
        "embeddings": "128",
        "the same event loop": "True",
        "others ask, with a memory": "None True []",
        "nights of the parent": "None",
    }
    assert refused == {
        "a transaction": "StorageError: a process must not be forked inside a transaction of a "
        "memory that it uses, but process N was; fork between calls, or start it with spawn",
        "a stream begun by the parent": "LatentAgentError: a stream must be read by the process "
        "that began it, process N, got process N, which was forked meanwhile; ask again there",
        "a model on a GPU": "ModelError: a model on a GPU must be used by the process that loaded "
        "it, got process N, which was forked from that one; start workers with spawn, or load the "
        "model after the fork",
    }


LOCKS = {
    "latent_agent/model/admission.py",  # made anew by `renew`
    "latent_agent/model/batch_scheduler.py",
    "latent_agent/model/llama_engine/cells.py",  # of an engine that a child does not use
    "memory/latent_memory/fork_guard.py",
    "memory/latent_memory/fork_renewal.py",
    "memory/latent_memory/index/shelf_index.py",  # a child forgets the index that holds it
    "memory/latent_memory/postgres/database.py",  # taken in a use of the gate, which forks wait for
    "memory/latent_memory/sqlite/database.py",  # taken within a transaction, for which forks wait
}


def test_every_lock_is_one_that_a_fork_cannot_leave_locked() -> None:
    """Harnesses that fork nothing aside."""
    lock = re.compile(r"threading\.(R?Lock|Condition|Semaphore|local|Barrier)\(|cached_property")
    holders = {
        str(file.relative_to(REPOSITORY))
        for package in ("latent_agent", "memory/latent_memory")
        for file in (REPOSITORY / package).rglob("*.py")
        if not {"soak", "benchmark", "crash"} & set(file.parts) and lock.search(file.read_text())
    }
    assert holders == LOCKS
