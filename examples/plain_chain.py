"""A prompt, the chat model and a parser in one chain.

Runs unchanged on the bundled model, which knows little more than such questions. For a real model:

    MODEL=path/to/model.gguf python examples/plain_chain.py

MODEL may also be a Hugging Face id or folder. With memory=None nothing is stored; without it,
traces are stored in your data folder.
"""

import os

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from latent_agent import ChatLatentSeek

MODEL = os.environ.get("MODEL", "bundled")

prompt = ChatPromptTemplate.from_template(
    "Today is {day}. The {event} of Tom was {days} days ago. What day was the {event}?"
)
chain = prompt | ChatLatentSeek(model=MODEL, memory=None, max_tokens=200) | StrOutputParser()

print("at once:  ", chain.invoke({"day": "Monday", "event": "trip", "days": 3}))

print("in chunks:", end=" ")
for chunk in chain.stream({"day": "Friday", "event": "test", "days": 2}):
    print(chunk, end="", flush=True)
print()

asked = [{"day": day, "event": "party", "days": 4} for day in ("Sunday", "Tuesday")]
for answer in chain.batch(asked):
    print("in a batch:", answer)
