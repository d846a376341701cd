"""Which texts of a production file are paths, as the models of its settings declare them (`PathText`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args

from pydantic import BaseModel

from imperv.tasks.settings.overrides import part_of


@dataclass(frozen=True)
class IsPath:
    """Marks a text as a path or URL, which is relative to the folder of the production file."""


PathText = Annotated[str, IsPath()]
"""A path, pattern or URL of a production file; `Production.path` resolves it."""


def resolve_paths(table: Mapping[str, Any], model: type[BaseModel], resolve: Callable[[str], str]) -> dict[str, Any]:
    """A table of a production file with `resolve` applied to every path that its model declares; empty texts stay."""
    kinds = {key: field.rebuild_annotation() for key, field in model.model_fields.items()}
    return {key: _resolved(value, kinds.get(key), resolve) for key, value in table.items()}


def _resolved(value: Any, kind: Any, resolve: Callable[[str], str]) -> Any:
    if isinstance(value, Mapping) and (part := part_of(kind)):
        return resolve_paths(value, part, resolve)
    if isinstance(value, Mapping):
        return {key: _resolved(each, kind, resolve) for key, each in value.items()}
    if isinstance(value, list):
        return [_resolved(each, kind, resolve) for each in value]
    return resolve(value) if isinstance(value, str) and value and _is_path(kind) else value


def _is_path(kind: Any) -> bool:
    """True for a type with a path in it, such as ``tuple[PathText, ...] | None``."""
    return any(isinstance(mark, IsPath) for mark in getattr(kind, "__metadata__", ())) or any(map(_is_path, get_args(kind)))
