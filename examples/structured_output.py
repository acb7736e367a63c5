"""Structured output: what a question asks for, as an instance of a Pydantic class.

Runs unchanged on the bundled model, whose jokes are not good. Whatever the model, a grammar makes
its answer fit the class. For a real model, which is told the class and its fields' descriptions:

    MODEL=path/to/model.gguf python examples/structured_output.py

MODEL may also be a Hugging Face id or folder.
"""

import os

from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel, Field

from latent_agent import ChatLatentSeek

MODEL = os.environ.get("MODEL", "bundled")


class Joke(BaseModel):
    """Joke to tell the user."""

    setup: str = Field(description="question that sets a joke up", max_length=80)
    punchline: str = Field(description="answer that resolves it", max_length=80)


prompt = ChatPromptTemplate.from_template("Tell me a joke about {topic}.")
chain = prompt | ChatLatentSeek(model=MODEL, memory=None).with_structured_output(Joke)

for topic in ("cats", "dogs"):
    joke = chain.invoke({"topic": topic})
    assert isinstance(joke, Joke)
    print(f"{prompt.format(topic=topic).removeprefix('Human: ')} -> {joke!r}")
