"""How well the bundled model solves and judges: ``python -m latent_agent.teaching.measure``.

Answers held-out questions plainly, then once more as a search or a sampler would disturb them, and
lets the model judge all of these. Prints Markdown tables.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from transformers import AutoModelForCausalLM, AutoTokenizer

from latent_agent.loading import bundled_path
from latent_agent.reward.verdict import read_verdict
from latent_agent.teaching.corpus import Candidate, questions
from latent_agent.teaching.harvest import harvest, reply_batch
from latent_agent.teaching.judging import CHECKS, assess, judge_prompt
from latent_agent.teaching.world import final_answer, is_right

_BATCH = 128
_NEEDED = ("correct", "calculation", "clear")  # what the default recipe's verdict hangs on


def kind_of(question: Any, answer: str) -> str:
    """Name the kind of answer: right, or the kind of error it makes."""
    if is_right(question, answer):
        return "right answer"
    if answer.strip() == str(question.wrong):
        return "wrong road"
    if final_answer(answer) is None:
        return "no final answer"
    finding = assess(question, answer)
    if not finding["calculation"].passed:
        return "wrong calculation"
    return "wrong plan or numbers" if finding["clear"].passed else "wrong final statement"


def _rate(hits: int, of: int) -> str:
    return f"{hits} of {of} ({hits / of:.1%})" if of else "none"


def _verdicts(model: Any, tokenizer: Any, met: Sequence[Candidate]) -> dict[str, list[bool]]:
    found: dict[str, list[bool]] = {}
    for name in CHECKS:
        prompts = [judge_prompt("Check", name, asked.text, answer) for asked, answer in met]
        replies: list[str] = []
        for start in range(0, len(prompts), _BATCH):
            replies += reply_batch(model, tokenizer, prompts[start : start + _BATCH])
        found[name] = [read_verdict(reply) is True for reply in replies]
    return found


def _print_checks(met: Sequence[Candidate], verdicts: dict[str, list[bool]]) -> None:
    typer.echo("\n| check | says True where False | says False where True |\n|---|---|---|")
    for name in CHECKS:
        truths = [assess(question, answer)[name].passed for question, answer in met]
        pairs = list(zip(truths, verdicts[name], strict=True))
        false = [said for truth, said in pairs if not truth]
        true = [not said for truth, said in pairs if truth]
        cells = (_rate(sum(false), len(false)), _rate(sum(true), len(true)))
        typer.echo(f"| {name} | {cells[0]} | {cells[1]} |")


def _print_groups(
    title: str,
    met: Sequence[Candidate],
    accepted: Sequence[bool],
    group: Callable[[Any, str], str],
) -> None:
    groups: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for (question, answer), verdict in zip(met, accepted, strict=True):
        for name in (group(question, answer), "all"):
            groups[name].append((is_right(question, answer), verdict))
    typer.echo(f"\n| {title} | falsely accepted | falsely refused |\n|---|---|---|")
    for name in [*(name for name in groups if name != "all"), "all"]:
        wrong = [verdict for right, verdict in groups[name] if not right]
        right = [not verdict for right, verdict in groups[name] if right]
        cells = (_rate(sum(wrong), len(wrong)), _rate(sum(right), len(right)))
        typer.echo(f"| {name} | {cells[0]} | {cells[1]} |")


def measure(
    model: Annotated[str, typer.Option(help="Folder of the model.")] = str(bundled_path()),
    split: Annotated[str, typer.Option(help="validation or test.")] = "test",
    count: Annotated[int, typer.Option(help="How many questions.", min=1)] = 420,
    seed: Annotated[int, typer.Option(help="Which questions, and how they are disturbed.")] = 0,
) -> None:
    """Measure drafts and verdicts on held-out questions."""
    lm: Any = AutoModelForCausalLM.from_pretrained(model, dtype="float32").eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(model)
    asked = questions(split, n=count, seed=seed)
    drafts: list[str] = []
    for start in range(0, count, _BATCH):
        drafts += reply_batch(lm, tokenizer, [row.text for row in asked[start : start + _BATCH]])
    plain = list(zip(asked, drafts, strict=True))
    right = sum(is_right(question, answer) for question, answer in plain)
    typer.echo(f"Drafts right: {_rate(right, count)} of {split} questions, seed {seed}.")
    met = plain + harvest(lm, tokenizer, asked, seed)
    verdicts = _verdicts(lm, tokenizer, met)
    accepted = [all(verdicts[name][number] for name in _NEEDED) for number in range(len(met))]
    _print_checks(met, verdicts)
    _print_groups("family", met, accepted, lambda question, _: question.family)
    _print_groups("kind of answer", met, accepted, kind_of)


if __name__ == "__main__":
    typer.run(measure)
