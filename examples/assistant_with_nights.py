"""An assistant for several users, each with a namespace and nights of their own.

Runs unchanged on the bundled model, in about two minutes. For a real model, with your users'
questions instead of the teaching world's (hours, on a CPU):

    MODEL=path/to/model.gguf python examples/assistant_with_nights.py

MODEL may also be a Hugging Face id or folder. Here each night starts as soon as enough traces are
new; without ``look`` and ``every``, a service that runs for weeks has one every 200 answers. A
crontab line and a systemd timer that do the same are beside this file.
"""

import os
import tempfile
import threading
from pathlib import Path

from langchain_core.runnables import RunnableConfig

from latent_agent import ChatLatentSeek, TraceRetriever
from latent_agent.nights.job import NightReport
from latent_agent.nights.scheduler import ConsolidationScheduler
from latent_agent.nights.targets import job_for
from latent_agent.teaching import questions

MODEL = os.environ.get("MODEL", "bundled")
DAY = 80
USERS = {"ann": ("story", "calendar"), "bob": ("compare", "groups")}


def asked_by(user: str) -> list[str]:
    """Return a user's questions of two days."""
    drawn = questions("test", n=400, seed=0)
    return [question.text for question in drawn if question.family in USERS[user]]


def steps(chat: ChatLatentSeek, user: str, asked: list[str]) -> float:
    """Ask as a user, and return the mean number of gradient steps."""
    config: RunnableConfig = {"configurable": {"namespace": user}}
    messages = [chat.invoke(text, config) for text in asked]
    taken = [message.response_metadata["latent_agent"]["iterations"] for message in messages]
    return sum(taken) / len(taken)


def night(memory: Path, user: str) -> NightReport:
    """Wait for a user's night, which runs in the background as soon as enough is new."""
    chat, reports, over = chat_with(memory, user), list[NightReport](), threading.Event()

    def done(report: NightReport) -> None:
        reports.append(report)
        over.set()

    with ConsolidationScheduler(job_for(chat), every=DAY // 2, look=1, done=done):
        over.wait()
    return reports[0]


def chat_with(memory: Path, user: str = "default") -> ChatLatentSeek:
    """Return a chat model; all of them share the weights, and the memory in this file."""
    return ChatLatentSeek(model=MODEL, memory=memory, namespace=user)


with tempfile.TemporaryDirectory() as folder:
    memory = Path(folder) / "memory.sqlite3"
    chat = chat_with(memory)
    for user in USERS:
        asked = asked_by(user)
        before = steps(chat, user, asked[:DAY])
        report = night(memory, user)
        after = steps(chat, user, asked[DAY : DAY + 15])
        print(f"{user}: {before:.2f} steps a question, {after:.2f} after a night.")
        print(f"{user}'s night: {report.verdict}. {report.reason}")

    text = asked_by("ann")[0]
    for user in USERS:
        (nearest,) = TraceRetriever(model=MODEL, memory=memory, namespace=user, k=1).invoke(text)
        print(f"closest to {text!r} for {user}: {nearest.page_content!r}")
