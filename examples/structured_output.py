"""Structured output: what a text says, as an instance of a Pydantic class.

Runs as it is on the bundled model, which knows texts of this kind. For a real one, put its Hugging
Face id or folder in MODEL and write your own class; the descriptions of its fields reach the model.
"""

from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel, Field

from latent_agent import ChatLatentSeek

MODEL = "bundled"


class Person(BaseModel):
    """A person."""

    name: str = Field(description="What the person is called")
    age: int = Field(description="In years")
    city: str = Field(description="Where the person lives")


prompt = ChatPromptTemplate.from_template("{name} is {age} years old and lives in {city}.")
chain = prompt | ChatLatentSeek(model=MODEL, memory=None).with_structured_output(Person)

for told in (
    {"name": "Tom", "age": 31, "city": "Rome"},
    {"name": "Eva", "age": 52, "city": "Oslo"},
):
    found = chain.invoke(told)
    assert isinstance(found, Person)
    print(f"{told} -> {found!r}")
