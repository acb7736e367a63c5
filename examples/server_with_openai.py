"""A server for two users, asked and rated with OpenAI's own client.

It needs `pip install "latent-agent[server]" openai`. It runs unchanged on the bundled model. For a
real model:

    MODEL=path/to/model.gguf python examples/server_with_openai.py

MODEL may also be a Hugging Face id or folder. The server usually runs by itself, as in
docs/how-to/server.md: here it is started, asked and ended. Each user has a key of her own, which
reaches her own memory alone.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx
from openai import OpenAI

MODEL = os.environ.get("MODEL", "bundled")
QUESTION = "Today is Monday. The trip of Tom was 3 days ago. What day was the trip?"
# What `latent-agent` on a command line does, whatever PATH says.
COMMAND = [sys.executable, "-c", "from latent_agent.cli import main; main()"]


def new_key(user: str, keys: Path) -> str:
    """Return the secret of a new key; the file keeps its hash."""
    made = [*COMMAND, "serve-key", user, "--keys", str(keys)]
    return subprocess.run(made, check=True, capture_output=True, text=True).stdout.strip()


def address(server: "subprocess.Popen[str]") -> str:
    """Wait for the line that says where the server listens."""
    assert server.stderr is not None
    for line in server.stderr:
        if found := re.search(r"http://[\d.]+:\d+", line):
            return found[0]
    raise RuntimeError("the server ended before it listened")


with tempfile.TemporaryDirectory() as folder:
    keys = Path(folder) / "keys.json"
    secrets = {user: new_key(user, keys) for user in ("ann", "bob")}
    options = ["--name", "model", "--port", "0", "--keys", str(keys), "--set", "max_tokens=200"]
    options += ["--memory", str(Path(folder) / "memory.sqlite3"), "--max-iterations", "5"]
    server = subprocess.Popen(
        [*COMMAND, "serve", "--model", MODEL, *options], stderr=subprocess.PIPE, text=True
    )
    try:
        url = address(server)
        for user in ("ann", "ann", "bob"):  # Ann's second question starts from her first answer
            client = OpenAI(base_url=f"{url}/v1", api_key=secrets[user], timeout=600)
            answer = client.chat.completions.create(
                model="model", messages=[{"role": "user", "content": QUESTION}]
            )
            ours = answer.model_extra["latent_agent"] if answer.model_extra else {}
            print(f"{user}: {answer.choices[0].message.content}")
            print(f"  from {ours['source']}, recalled {ours['warm_start']['neighbours']}")
        rated = httpx.post(
            f"{url}/v1/feedback",
            json={"id": answer.id, "score": 1},
            headers={"Authorization": f"Bearer {secrets['bob']}"},
        )
        print("bob's rating:", rated.raise_for_status().json())
    finally:
        server.terminate()  # it answers what it has begun, and ends
        server.communicate(timeout=120)
