"""Retrieval: facts from a vector store, retrieved by the model's hidden states, for a question.

Runs unchanged on the bundled model, which can do only sums like these. For a real model, with your
own texts in FACTS, and in the prompt what to do with them:

    MODEL=path/to/model.gguf python examples/rag.py

MODEL may also be a Hugging Face id or folder. Any vector store can replace InMemoryVectorStore, and
any embedding model the embeddings: one that was trained for search retrieves better than the hidden
states of a chat model.
"""

import os
from operator import itemgetter

from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore

from latent_agent import ChatLatentSeek, LatentSeekEmbeddings

MODEL = os.environ.get("MODEL", "bundled")
FACTS = [
    "Here Leo shares 28 coins among 4 friends.",
    "Here Mia counts 5 weeks and 6 days.",
    "There are 4 bags. Each bag of Una holds 2 stamps.",
    "Here Kim is older than Jan. And Vic is older than Kim.",
    "Here Ben has 48 books. And that is 37 fewer than Lea has.",
]
ASKED = [
    ("Leo shares coins among friends.", "How many coins does each friend get?"),
    ("Here Mia counts weeks and days.", "How many days is that?"),
    ("There are bags of stamps.", "How many stamps are there?"),
]


def joined(documents: list[Document]) -> str:
    """Join the documents' texts."""
    return " ".join(document.page_content for document in documents)


store = InMemoryVectorStore.from_texts(FACTS, LatentSeekEmbeddings(model=MODEL))
retriever = store.as_retriever(search_kwargs={"k": 1})
chain = (
    RunnablePassthrough.assign(context=itemgetter("about") | retriever | joined)
    | ChatPromptTemplate.from_template("{context} {question}")
    | ChatLatentSeek(model=MODEL, memory=None, max_tokens=200)
    | StrOutputParser()
)

for about, question in ASKED:
    print(question, "->", chain.invoke({"about": about, "question": question}))
