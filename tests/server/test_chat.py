"""``latent-agent chat`` with our own server."""

from typer.testing import CliRunner

from latent_agent.cli import app
from tests.support.served import QUESTION, Served

ANSWER = "We count back. Monday - 3 days = Friday. The answer is Friday."


def test_our_server_tells_why_and_takes_ratings(server: Served) -> None:
    lines = (QUESTION, "/why", "/up", "/correct It was a Friday.", "/new", QUESTION, "/why")
    given = "".join(f"{line}\n" for line in lines)
    words = ["chat", "--url", server.url, "--namespace", "chatty", "--max-iterations", "9"]
    result = CliRunner().invoke(app, words, input=given)
    assert result.exit_code == 0, result.output
    first, then = result.stdout.split("from ")[:2]
    assert first.startswith(f"{ANSWER}\n rewards")
    assert "5, stopped by threshold" in first
    assert "search; stored as trace" in then
    assert "recalled traces" in result.stdout
    assert "reward of 0.00" in result.stderr
    assert "The correction is read already" in result.stderr


def test_what_our_server_refuses_is_told(server: Served) -> None:
    words = ["chat", "--url", server.url, "--max-iterations", "99"]
    result = CliRunner().invoke(app, words, input=f"{QUESTION}\n")
    assert "latent_agent.max_iterations must be at most" in result.stderr
    assert result.exit_code == 1
