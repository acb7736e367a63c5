"""How well the bundled model solves and judges: ``python -m dev.bundled_model.measure``.

Lets the model judge its own drafts, the candidates that searches met, and drafts that were sampled
or disturbed on purpose. Prints Markdown tables.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track
from transformers import AutoModelForCausalLM, AutoTokenizer

from dev.bundled_model.examples import Candidate
from dev.bundled_model.harvest import harvest, reply_batch
from dev.bundled_model.judging import CHECKS, GRADES, assess, judge_prompt
from latent_agent.call.agent import LatentAgent
from latent_agent.model.conversation import Turn
from latent_agent.model.places import bundled_path
from latent_agent.model.registry import open_model
from latent_agent.reward import Case, Reward, Score, SelfReward
from latent_agent.reward.verdict import read_grade, read_verdict
from latent_agent.settings import settings_for
from latent_agent.teaching.corpus import questions
from latent_agent.teaching.world import Question, final_answer, is_right

_BATCH = 128
_NEEDED = ("correct", "calculation", "clear")  # what the default recipe's verdict hangs on


def kind_of(question: Question, answer: str) -> str:
    """Name the kind of answer: right, or the kind of error it makes."""
    if is_right(question, answer):
        return "right answer"
    if answer.strip() == str(question.wrong):
        return "wrong source"
    if final_answer(answer) is None:
        return "no final answer"
    finding = assess(question, answer)
    if not finding["calculation"].passed:
        return "wrong calculation"
    return "wrong plan or numbers" if finding["clear"].passed else "wrong final statement"


class Recorder(Reward):
    """The default recipe's reward, and every answer that it was asked about."""

    def __init__(self) -> None:
        self._reward = SelfReward("checks", strict=True)
        self.answers: list[str] = []

    def score(self, case: Case) -> Score:
        """Note the answer and score it."""
        self.answers.append(case.answer)
        return self._reward.score(case)


def search_candidates(model: str, asked: Sequence[Question]) -> Iterator[Candidate]:
    """Search with the default recipe; yield what it met after each draft."""
    shared, settings = open_model(model), settings_for("default")
    for question in track(asked, "searching", console=Console(stderr=True)):
        recorder = Recorder()
        LatentAgent(shared, settings, recorder).answer([Turn("user", question.text)])
        for answer in recorder.answers[1:]:
            yield question, answer


class Judging:
    """The model's replies to judge prompts, in padded batches."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._model, self._tokenizer = model, tokenizer

    def replies(self, kind: str, name: str, met: Sequence[Candidate]) -> list[str]:
        """Reply to one check or grade for every candidate."""
        prompts = [judge_prompt(kind, name, asked.text, answer) for asked, answer in met]
        return self.answer(prompts)

    def answer(self, prompts: Sequence[str]) -> list[str]:
        """Reply to each user text."""
        replies: list[str] = []
        for start in range(0, len(prompts), _BATCH):
            replies += reply_batch(self._model, self._tokenizer, prompts[start : start + _BATCH])
        return replies

    def verdicts(self, kind: str, met: Sequence[Candidate]) -> dict[str, list[bool]]:
        """Read one verdict a check for every candidate."""
        return {
            name: [read_verdict(reply) is True for reply in self.replies(kind, name, met)]
            for name in CHECKS
        }


def _rate(hits: int, of: int) -> str:
    return f"{hits} of {of} ({hits / of:.1%})" if of else "none"


def _errors(truths: Sequence[bool], said: Sequence[bool]) -> tuple[str, str]:
    """Rates of True where False, and of False where True."""
    false = [verdict for truth, verdict in zip(truths, said, strict=True) if not truth]
    true = [not verdict for truth, verdict in zip(truths, said, strict=True) if truth]
    return _rate(sum(false), len(false)), _rate(sum(true), len(true))


def _print_checks(title: str, met: Sequence[Candidate], verdicts: dict[str, list[bool]]) -> None:
    typer.echo(f"\n| {title} | says True where False | says False where True |\n|---|---|---|")
    for name in CHECKS:
        truths = [assess(question, answer)[name].passed for question, answer in met]
        accepted, refused = _errors(truths, verdicts[name])
        typer.echo(f"| {name} | {accepted} | {refused} |")


def _print_grades(judging: Judging, met: Sequence[Candidate]) -> None:
    typer.echo("\n| grade | exact | mean error | no grade |\n|---|---|---|---|")
    for name in GRADES:
        given = [read_grade(reply) for reply in judging.replies("Grade", name, met)]
        truths = [assess(question, answer)[name].grade for question, answer in met]
        gaps = [abs((grade or 0.0) - truth) for grade, truth in zip(given, truths, strict=True)]
        cells = (
            _rate(sum(gap == 0 for gap in gaps), len(gaps)),
            f"{sum(gaps) / len(gaps):.3f}",
            str(given.count(None)),
        )
        typer.echo(f"| {name} | {' | '.join(cells)} |")


def _print_groups(
    title: str,
    met: Sequence[Candidate],
    accepted: Sequence[bool],
    group: Callable[[int], str],
) -> None:
    groups: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for number, (question, answer) in enumerate(met):
        for name in (group(number), "all"):
            groups[name].append((is_right(question, answer), accepted[number]))
    typer.echo(f"\n| {title} | falsely accepted | falsely refused |\n|---|---|---|")
    for name in [*(name for name in groups if name != "all"), "all"]:
        truths, said = zip(*groups[name], strict=True)
        typer.echo(f"| {name} | {' | '.join(_errors(truths, said))} |")


def measure(
    model: Annotated[str, typer.Option(help="Folder of the model.")] = str(bundled_path()),
    split: Annotated[str, typer.Option(help="validation or test.")] = "test",
    count: Annotated[int, typer.Option(help="How many questions.", min=1)] = 420,
    searched: Annotated[int, typer.Option(help="Of these, how many are searched.", min=0)] = 210,
    seed: Annotated[int, typer.Option(help="Which questions, and how they are disturbed.")] = 0,
) -> None:
    """Measure drafts and verdicts on held-out questions."""
    lm: Any = AutoModelForCausalLM.from_pretrained(model, dtype="float32").eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(model)
    judging, asked = Judging(lm, tokenizer), questions(split, n=count, seed=seed)
    drafts = list(zip(asked, judging.answer([row.text for row in asked]), strict=True))
    right = sum(is_right(question, answer) for question, answer in drafts)
    typer.echo(f"Drafts right: {_rate(right, count)} of {split} questions, seed {seed}.")
    tried = list(search_candidates(model, asked[:searched]))
    disturbed = list(zip(asked, harvest(lm, tokenizer, asked, seed), strict=True))
    met = [*drafts, *tried, *disturbed]
    sources = ["draft"] * len(drafts) + ["in a search"] * len(tried)
    sources += ["sampled or altered"] * len(disturbed)
    verdicts = judging.verdicts("Check", met)
    accepted = [all(verdicts[name][number] for name in _NEEDED) for number in range(len(met))]
    _print_groups("whole verdict", met, accepted, lambda number: sources[number])
    _print_groups("family", met, accepted, lambda number: met[number][0].family)
    _print_groups("kind of answer", met, accepted, lambda number: kind_of(*met[number]))
    _print_checks("check, with a written reply", met, verdicts)
    _print_checks("check, at once", met, judging.verdicts("Quick", met))
    _print_grades(judging, met)


if __name__ == "__main__":
    typer.run(measure)
