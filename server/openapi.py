"""Print the contract: HTTP routes and data-channel messages. `make client-types` reads it."""

import json
import sys
from typing import Any

from pydantic import TypeAdapter

from pipeline.building import build
from server.app import create_app
from server.schema.channel import ClientMessage, ServerMessage
from server.schema.service import Problem
from server.settings import Settings
from streams.worker import Worker


def contract() -> dict[str, Any]:
    """Give the OpenAPI document, with the messages of the channel `control` among its schemas."""
    settings = Settings()
    worker = Worker(lambda: build(settings.engine(), lambda step: None))  # never started
    document: dict[str, Any] = create_app(settings, worker).openapi()
    schemas = document["components"]["schemas"]
    messages: dict[str, Any] = {"ClientMessage": ClientMessage, "ServerMessage": ServerMessage}
    for name, kind in messages.items():
        found = TypeAdapter(kind).json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(found.pop("$defs"))
        schemas[name] = found
    schemas["Problem"] = Problem.model_json_schema()
    return document


if __name__ == "__main__":
    sys.stdout.write(json.dumps(contract(), indent=2, sort_keys=True) + "\n")
