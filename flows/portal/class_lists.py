"""Class lists of new projects: those of a template, or a person's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field

from imperv.flows.portal.projects import Projects, Template
from imperv.tasks.errors import InputError
from imperv.tasks.families import family
from imperv.tasks.family.teaching import Teaching
from imperv.tasks.settings.toml_files import read_toml

MOST = 40
"""Classes of a list."""


class ClassOf(BaseModel, extra="forbid"):
    """A class."""

    name: str = Field(max_length=60)
    code: int
    colour: str = Field(max_length=7)
    """Red, green and blue, such as ``#d62f27``."""


def offered(template: Template) -> list[dict[str, Any]] | None:
    """Classes of the projects of a template; None where its product has none that a person names. InputError if it is wrong."""
    template.check()
    teaching = _teaching(template)
    return None if teaching is None else [dict(one) for one in teaching.classes(read_toml(template.file))]


def chosen(projects: Projects, name: str, classes: Sequence[ClassOf] | None, bbox: Sequence[float], span: str) -> dict[str, Any]:
    """Keys of the production file of a new project for its classes; none where they are those of the template.

    InputError if they are wrong, or nothing that the template names can teach them.
    """
    template = projects.templates().get(name)
    if classes is None or template is None:
        return {}
    teaching = _teaching(template)
    if teaching is None:
        raise InputError(f"classes: projects of {template.product} have no classes of their own; leave them out")
    found = [one.model_dump() for one in classes]
    if found == offered(template):
        return {}
    more = teaching.named([one | {"name": " ".join(one["name"].split())} for one in found])
    teaching.check(projects.draft(name, bbox, span, more))
    return more


def _teaching(template: Template) -> Teaching | None:
    found = family(template.product).teaching
    return found() if found is not None else None
