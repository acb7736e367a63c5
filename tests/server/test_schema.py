"""schemathesis over the OpenAPI page: nothing that fits it, or does not, is a server's failure."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.served import Served


def test_the_openapi_page_names_every_route(server: Served) -> None:
    paths = server.get("/openapi.json").json()["paths"]
    assert set(paths) >= {
        *("/v1/chat/completions", "/v1/embeddings", "/v1/feedback", "/v1/models"),
        *("/healthz", "/readyz", "/metrics"),
    }
    assert "latent-agent" in server.get("/docs").text


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nothing_makes_the_server_fail(server: Served, tmp_path: Path) -> None:
    report = tmp_path / "report.ndjson"
    done = subprocess.run(
        [
            *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"),
            *("run", f"{server.url}/openapi.json", "--checks", "not_a_server_error"),
            *("--max-examples", "100", "--seed", "1", "--generation-deterministic"),
            # One worker: two threads that parse code can break CPython 3.11's count of depth.
            *("--workers", "1", "--request-timeout", "30"),
            *("--report", "ndjson", "--report-ndjson-path", str(report)),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert server.get("/healthz").status_code == 200
    told = [json.loads(line) for line in report.read_text().splitlines()]
    assert len(told) > 10
