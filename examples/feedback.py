"""An assistant for two users, whose answers are rated and corrected.

Runs unchanged on the bundled model. For a real model:

    MODEL=path/to/model.gguf python examples/feedback.py

MODEL may also be a Hugging Face id or folder. Without a judge a call costs one plain answer; what
is right is what the users say. Corrections also lead similar questions of the same user, and a
night (`latent-agent consolidate`) trains on them.
"""

import os
import tempfile
from pathlib import Path

from langchain_core.runnables import RunnableConfig

from latent_agent import ChatLatentSeek, FeedbackReward

MODEL = os.environ.get("MODEL", "bundled")
QUESTION = "Today is Monday. The trip of Tom was 3 days ago. What day was the trip?"
RIGHT = "We count back. Monday - 3 days = Friday. The answer is Friday."

with tempfile.TemporaryDirectory() as folder:
    chat = ChatLatentSeek(
        model=MODEL, memory=Path(folder) / "memory.sqlite3", reward=FeedbackReward(), max_tokens=200
    )
    for user in ("ann", "bob"):
        config: RunnableConfig = {"configurable": {"namespace": user}}
        answer = chat.invoke(QUESTION, config)
        print(f"{user} is told:", answer.text)
        if user == "ann":
            rating = chat.feedback(answer, 0.0, correction=RIGHT, namespace=user)
        else:
            rating = chat.feedback(answer, 0.0, comment="no, earlier", namespace=user)
        print(f"{user} rates it {rating.reward:.0f}, where 0 is right and -1 is wrong")
    for user in ("ann", "bob"):
        config = {"configurable": {"namespace": user}}
        answer = chat.invoke(QUESTION, config)
        print(f"{user} asks again:", answer.text)
        print("  from", answer.response_metadata["latent_agent"]["source"])
