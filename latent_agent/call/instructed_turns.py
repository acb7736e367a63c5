"""Instructions of ours in a conversation: the form of the answer, where a form was asked for."""

from collections.abc import Sequence
from dataclasses import replace

from latent_agent.model.conversation import Turn


def with_instructions(turns: Sequence[Turn], instructions: Sequence[str]) -> list[Turn]:
    """Return a conversation with instructions at the end of its system prompt.

    Without a system prompt they are one. What people wrote stays as it is.
    """
    if not instructions:
        return list(turns)
    if turns and turns[0].role == "system":
        system = "\n\n".join([turns[0].content, *instructions])
        return [replace(turns[0], content=system), *turns[1:]]
    return [Turn("system", "\n\n".join(instructions)), *turns]
