"""The OpenAPI document against the server: whatever is sent, no failure, no status and no form that is not documented.

``MINILM_SOAK_EXAMPLES`` sets how many requests each route gets; the default is few.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import HealthCheck, given, settings
from running import running_server
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from stores import TOPICS

from minilm_retrieval import open_collection

EXAMPLES = int(os.environ.get("MINILM_SOAK_EXAMPLES", "15"))
CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)


def test_every_answer_is_as_documented(tmp_path: Path) -> None:
    open_collection("docs", path=tmp_path, create=True).add(ids=TOPICS, documents=TOPICS)
    with running_server("--path", str(tmp_path), "--log-level", "warning") as server:
        schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
        operations = [result.ok() for result in schema.get_all_operations()]
        assert {operation.path for operation in operations} >= {
            "/v1/embeddings",
            "/v1/models/{id}",
            "/v1/vector_stores/{vector_store_id}/search",
            "/health",
        }
        for operation in operations:
            _ask(operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
            if operation.body or operation.query:
                _ask(operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
        assert not [line for line in server.log if "Traceback" in line], server.log


def _ask(cases: Any) -> None:
    """Send requests as the document describes them, and look at the answers."""

    @given(case=cases)
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    def ask(case: Any) -> None:
        case.call_and_validate(checks=CHECKS)

    ask()
