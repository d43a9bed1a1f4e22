"""Validates what verbs write with ``--json`` against the schemas of the manual."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "schemas"


def file_of(schema: str) -> Path:
    """Return the file of a schema: ``qcore.info/1`` is ``info-1.json``."""
    match = re.fullmatch(r"qcore\.([\w-]+)/(\d+)", schema)
    assert match, f"{schema!r} is no name of a schema"
    return FOLDER / f"{match[1]}-{match[2]}.json"


def validate(document: dict[str, Any]) -> None:
    """Raise ``jsonschema.ValidationError`` unless a document is as its schema says.

    Readers must put up with new fields; here each field must be described.
    """
    schemas = {path.name: _closed(load(path)) for path in FOLDER.glob("*.json")}
    registry = Registry().with_resources(
        (name, Resource.from_contents(schema)) for name, schema in schemas.items()
    )
    schema = schemas[file_of(document["schema"]).name]
    Draft202012Validator(schema, registry=registry).validate(document)


def load(path: Path) -> dict[str, Any]:
    """Return a schema; one that is no schema is refused."""
    schema: dict[str, Any] = json.loads(path.read_text())
    Draft202012Validator.check_schema(schema)
    return schema


def _closed(schema: Any) -> Any:
    """Return a schema whose objects have the described properties and no others."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict):
        closed.setdefault("additionalProperties", False)
    return closed
