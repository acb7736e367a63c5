"""Which embedding finds the right neighbours: ``python -m dev.bundled_model.neighbours``.

Embeds questions by several recipes and prints how often the nearest ones are of the same kind:
the same family, right plan and habit. A neighbour of another kind moves a question's latents the
wrong way.
"""

from collections.abc import Callable, Sequence
from typing import Annotated

import torch
import typer
from transformers import DynamicCache

from latent_agent.model.conversation import Turn
from latent_agent.model.prompt import encode_chat
from latent_agent.model.registry import open_model
from latent_agent.model.transformers_engine.engine import TransformersEngine
from latent_agent.teaching.corpus import questions
from latent_agent.teaching.world import Question

Layers = Sequence[torch.Tensor]
POOLS: dict[str, Callable[[Layers], torch.Tensor]] = {
    "early layer, mean": lambda layers: layers[max(1, (len(layers) - 1) // 5)][0].mean(0),
    "early layer, last token": lambda layers: layers[max(1, (len(layers) - 1) // 5)][0, -1],
    "last layer, mean": lambda layers: layers[-1][0].mean(0),
    "last layer, last token": lambda layers: layers[-1][0, -1],
    "middle layer, mean": lambda layers: layers[len(layers) // 2][0].mean(0),
    "middle layer, last token": lambda layers: layers[len(layers) // 2][0, -1],
}


def embed(engine: TransformersEngine, asked: Sequence[Question]) -> dict[str, torch.Tensor]:
    """Embed questions by every recipe: (questions, d) each."""
    rows: dict[str, list[torch.Tensor]] = {name: [] for name in POOLS}
    for question in asked:
        ids = encode_chat(engine.tokenizer, [Turn("user", question.text)])
        last, layers = engine.layers(torch.tensor([ids], device=engine.device), DynamicCache())
        for name, pool in POOLS.items():
            rows[name].append(pool([*layers[:-1], last]).float())
    return {name: torch.stack(found) for name, found in rows.items()}


def raw(stored: torch.Tensor, asked: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Leave the embeddings as they are."""
    return stored, asked


def centred(stored: torch.Tensor, asked: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Take the stored embeddings' mean off."""
    return stored - stored.mean(0), asked - stored.mean(0)


def whitened(stored: torch.Tensor, asked: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Take the mean off and give every principal direction the same spread."""
    stored, asked = centred(stored, asked)
    _, spread, directions = torch.linalg.svd(stored, full_matrices=False)
    scaled = directions.T / (spread + 1e-2 * spread[0])
    return stored @ scaled, asked @ scaled


def kind_of(question: Question) -> tuple[str, str, float]:
    """What decides which way a question's latents must move."""
    return question.family, question.right.plan, question.habit


def precision(
    stored: torch.Tensor, asked: torch.Tensor, same: torch.Tensor, neighbours: int
) -> float:
    """Share of the nearest neighbours that are of the question's kind."""
    similar = torch.nn.functional.normalize(asked) @ torch.nn.functional.normalize(stored).T
    nearest = similar.topk(neighbours, dim=1).indices
    return same.gather(1, nearest).float().mean().item()


def measure(
    stored: Annotated[int, typer.Option(help="Training questions to recall from.", min=10)] = 200,
    asked: Annotated[int, typer.Option(help="Validation questions.", min=1)] = 210,
    neighbours: Annotated[int, typer.Option(help="How many are recalled.", min=1)] = 5,
    seed: Annotated[int, typer.Option(help="Which questions are drawn.")] = 0,
) -> None:
    """Print the share of neighbours of the right kind, by recipe, as a Markdown table."""
    engine = open_model("bundled").engine()
    assert isinstance(engine, TransformersEngine)
    past, new = questions("train", stored, seed), questions("validation", asked, seed)
    same = torch.tensor([[kind_of(one) == kind_of(other) for other in past] for one in new])
    past_rows, new_rows = embed(engine, past), embed(engine, new)
    typer.echo("| embedding | raw | centred | whitened |\n|---|---|---|---|")
    for name in POOLS:
        shares = [
            precision(*change(past_rows[name], new_rows[name]), same, neighbours)
            for change in (raw, centred, whitened)
        ]
        typer.echo(f"| {name} | {' | '.join(f'{share:.1%}' for share in shares)} |")


if __name__ == "__main__":
    typer.run(measure)
