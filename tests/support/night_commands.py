"""Nights by command: a memory with a day of the bundled model in it, and the command line."""

import json
import sys
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from latent_agent.call.agent import default_reward
from latent_agent.call.call import Call
from latent_agent.cli import app
from latent_agent.model.conversation import Turn
from latent_agent.model.prompt import encode_chat
from latent_agent.model.registry import open_model
from latent_agent.settings import settings_for
from latent_agent.teaching import Question, questions
from latent_memory import LatentMemory, Shelf, Trace

COMMAND = [sys.executable, "-c", "from latent_agent.cli import main; main()"]


def searched(question: Question, shelf: Shelf) -> Trace:
    """A trace as the bundled model's search leaves it when it finds the right source."""
    model, settings = open_model("bundled"), settings_for("default")
    prompt = encode_chat(model.tokenizer, [Turn("user", question.text)])
    call = Call(model, settings, default_reward("strict"), [Turn("user", question.text)], prompt)
    embedding, _ = call.writer.embed(), call.writer.opening()
    right: list[int] = model.tokenizer.encode(str(question.right), add_special_tokens=False)
    return Trace(
        shelf=shelf,
        query=question.text,
        answer=str(question.right),
        embedding=embedding.numpy(),
        base=call.writer.base().numpy(),
        optimised=call.writer.base().numpy(),
        tokens=tuple(right[:3]),
        score=0.0,
        rewards=((-0.5,), (0.0,)),
        steps=1,
        stopped="threshold",
    )


def fill(path: Path | str) -> None:
    """Leave what a day leaves, of questions whose drafts are often wrong."""
    shelf = Shelf(
        namespace="default",
        fingerprint=open_model("bundled").fingerprint(),
        reward=default_reward("strict").id,
    )
    asked = [question for question in questions("train", n=210, seed=3) if question.planted]
    with LatentMemory(path) as memory:
        memory.add_many([searched(question, shelf) for question in asked])


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def printed(*arguments: object) -> Any:
    """The one JSON object of a command that succeeds."""
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)
