"""What nights make of feedback: corrections read, rated questions to judge by."""

from collections import defaultdict
from collections.abc import Iterable

from latent_agent.call.correction import read_waiting
from latent_agent.call.stored_call import call_of
from latent_agent.model.conversation import thoughts_apart, transcript
from latent_agent.model.registry import SharedModel
from latent_agent.nights.job import NightJob
from latent_agent.recall.rated import WRONG
from latent_agent.reward.feedback import FeedbackReward, Rated
from latent_memory import FEEDBACK, StoredTrace


def read_corrections(job: NightJob) -> None:
    """Let the model read the corrections that were given where it was not loaded."""
    if job.shelf.reward == FEEDBACK and not job.database.readonly:
        read_waiting(job.memory, job.model, job.shelf.namespace)


def rated_answers(traces: Iterable[StoredTrace], model: SharedModel) -> FeedbackReward:
    """Return a reward that knows what was said of the answers of a shelf of feedback.

    A conversation stands for its answer, not its last question: "And tomorrow?" has many.
    """
    right: defaultdict[str, list[str]] = defaultdict(list)
    wrong: defaultdict[str, list[str]] = defaultdict(list)
    for stored in traces:
        asked, answer = call_of(stored.trace), stored.trace.answer
        if asked is not None and answer is not None:
            key = transcript(thoughts_apart(asked.turns, model.tokenizer))
            (right if stored.trace.score > WRONG else wrong)[key].append(answer)
    return FeedbackReward(
        {key: Rated(right=right[key], wrong=wrong[key]) for key in {*right, *wrong}}
    )
