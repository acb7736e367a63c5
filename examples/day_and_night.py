"""A chat model that remembers, and a night in between.

Runs as it is on the bundled model. For a real one, put its Hugging Face id or folder in MODEL and
your own questions in place of the teaching world's.
"""

import tempfile
from pathlib import Path

from latent_agent import ChatLatentSeek
from latent_agent.consolidate import consolidate
from latent_agent.night_job import NightJob
from latent_agent.shared_model import open_model
from latent_agent.teaching import questions
from latent_memory import LatentMemory

MODEL = "bundled"
DAY = [question.text for question in questions("test", n=180, seed=1)]


def steps(chat: ChatLatentSeek, asked: list[str]) -> float:
    """Ask, and return the mean number of gradient steps."""
    messages = [chat.invoke(text) for text in asked]
    taken = [message.response_metadata["latent_agent"]["iterations"] for message in messages]
    return sum(taken) / len(taken)


with tempfile.TemporaryDirectory() as folder:
    memory = LatentMemory(Path(folder) / "memory.sqlite3")
    chat = ChatLatentSeek(model=MODEL, memory=memory)
    print(f"day 1: {steps(chat, DAY[:140]):.2f} steps a question")

    for info in memory.shelves():
        report = consolidate(NightJob(memory=memory, model=open_model(MODEL), shelf=info.shelf))
        print(f"night: {report.verdict}. {report.reason}")

    print(f"day 2: {steps(chat, DAY[140:]):.2f} steps a question")
    memory.close()
