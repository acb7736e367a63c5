"""Structured output: what a question asks for, as an instance of a Pydantic class.

Runs as it is on the bundled model. It was not taught to write JSON: what it answers always fits
the class, since a grammar holds it there, but means little. For a real one, put its Hugging Face id
or folder in MODEL and write your own class; say in the prompt what its fields mean.
"""

from typing import Literal

from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel, Field

from latent_agent import ChatLatentSeek

MODEL = "bundled"


class Calculation(BaseModel):
    """How a question is answered."""

    operation: Literal["add", "subtract", "multiply", "divide"]
    result: int = Field(ge=0, le=999)


prompt = ChatPromptTemplate.from_template("{question}")
chain = prompt | ChatLatentSeek(model=MODEL, memory=None).with_structured_output(Calculation)

for question in (
    "At first Tom has 35 books. Then Tom loses 12 books. How many books does Tom have now?",
    "Each day Eva counts 6 birds. How many birds is that after 7 days?",
):
    found = chain.invoke({"question": question})
    assert isinstance(found, Calculation)
    print(f"{question} -> {found!r}")
