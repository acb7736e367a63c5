"""One's own questions with known answers: what one answer, a vote and a search get right.

Runs unchanged on the bundled model and six of its questions. For a real model and your questions:

    MODEL=path/to/model.gguf DATA=examples/data/gsm8k.jsonl python examples/own_questions.py

MODEL may also be a Hugging Face id or folder. A line of the file is {"question": "...", "answer":
"..."}. Thirty questions show whether it is worth looking further, and prove nothing: `latent-agent
evaluate --model MODEL --data FILE` compares at equal cost, with intervals and simpler methods.
"""

import os
from pathlib import Path

from latent_agent import AgreementReward, ChatLatentSeek
from latent_agent.evaluation.checking import FITTING
from latent_agent.evaluation.items import read_items

MODEL = os.environ.get("MODEL", "bundled")
DATA = os.environ.get("DATA", str(Path(__file__).parent / "data" / "teaching_world.jsonl"))
QUESTIONS = int(os.environ.get("QUESTIONS", "6"))

ways = {
    "one greedy answer": ChatLatentSeek(
        model=MODEL, memory=None, max_iterations=0, max_tokens=400
    ),
    "a vote of several answers": ChatLatentSeek(
        model=MODEL, memory=None, reward=AgreementReward(), max_iterations=1, max_tokens=400,
    ),
    "a search, judged by the model": ChatLatentSeek(
        model=MODEL, memory=None, max_tokens=400
    ),
}  # fmt: skip
items = read_items(Path(DATA))[:QUESTIONS]
print(f"{len(items)} questions of {Path(DATA).name}")
for name, chat in ways.items():
    right = tokens = 0
    for item in items:
        message = chat.invoke(item.question)
        right += FITTING.is_right(item, message.text)
        spent = message.response_metadata["latent_agent"]["forwarded_tokens"]
        tokens += sum(spent.values())
    print(f"{name}: {right} right, {tokens / len(items):.0f} tokens a question")
