"""Environment variables that overrule a production file: ``IMPERV_ENGINE__WORKERS=4``.

Only keys that docs/settings.md lists can be set. Whatever else begins with ``IMPERV_`` is somebody else's, unless it looks like
a key that was misspelt.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_settings import EnvSettingsSource

from imperv.tasks.errors import InputError

PREFIX = "IMPERV_"

HIDDEN = ("root",)
"""Fields of a production that nobody sets."""

OTHERS = ("IMPERV_LOG", "IMPERV_LOG_LEVEL")
"""Variables of the command that are no keys of a production file (`flows.runtime.logs`)."""

CLOSE = 0.8
"""Likeness from which another name is taken for a misspelt one (`difflib`)."""


def part_of(annotation: Any) -> type[BaseModel] | None:
    """The model that a key is a table of, if it is one."""
    if get_origin(annotation) in (Union, UnionType):
        found = [part_of(a) for a in get_args(annotation)]
        return next((f for f in found if f), None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def keys_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """A model's keys that can be set."""
    return {key: field for key, field in model.model_fields.items() if key not in HIDDEN}


@cache
def documented(model: type[BaseModel]) -> dict[str, tuple[str, ...]]:
    """Every variable that counts, and the key that it sets."""
    return {PREFIX + "__".join(path).upper(): path for path, _ in _fields(model)}


def given(model: type[BaseModel]) -> dict[str, tuple[str, ...]]:
    """Variables of the environment that count, and the keys that they set; those within tables of free keys too."""
    known = documented(model)
    free = {
        f"{PREFIX}{'__'.join(path).upper()}__": path for path, field in _fields(model) if get_origin(field.annotation) is dict
    }
    found = {}
    for name in os.environ:
        if name in known:
            found[name] = known[name]
        elif start := next((start for start in free if name.startswith(start) and name != start), ""):
            found[name] = (*free[start], *name.removeprefix(start).lower().split("__"))
    return found


def refuse_misspelt(model: type[BaseModel]) -> None:
    """Look for variables that were meant to be keys.

    Raises
    ------
    InputError
        One line for each, with the nearest name.
    """
    known = {name.removeprefix(PREFIX): name for name in (*documented(model), *OTHERS)}
    counting, lines = {*known.values(), *given(model)}, []
    for name in sorted(set(os.environ) - counting):
        if not name.upper().startswith(PREFIX):
            continue
        close = difflib.get_close_matches(name.upper().removeprefix(PREFIX), known, n=1, cutoff=CLOSE)
        if close or "__" in name:
            hint = f" (did you mean {known[close[0]]}?)" if close else ""
            lines.append(f"environment: {name}: no setting has this name{hint}; correct it or unset it")
    if lines:
        raise InputError("\n".join(lines))


def origin(where: Sequence[Any], variables: Mapping[str, tuple[str, ...]]) -> tuple[str, Sequence[str]]:
    """Variable that a key's value comes from, or "", and those that set a part of it."""
    path = tuple(str(part) for part in where)
    own = [name for name, key in variables.items() if path[: len(key)] == key]
    parts = [name for name, key in variables.items() if len(key) > len(path) and key[: len(path)] == path]
    return max(own, key=lambda name: len(variables[name]), default=""), parts


class Overrides(EnvSettingsSource):
    """The variables that count, as a source of settings; tables and lists are JSON."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): os.environ[name] for name in given(self.settings_cls)}

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """The value of JSON, or what is not JSON as it is: it is refused where its key is known."""
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value


def _fields(model: type[BaseModel], start: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """All keys of a model and of its parts."""
    for key, field in keys_of(model).items():
        yield (*start, key), field
        if part := part_of(field.annotation):
            yield from _fields(part, (*start, key))
