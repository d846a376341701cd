"""Filling the XML templates of deliverables, which lie in `tasks/delivery/templates`; what is filled in belongs to its writer."""

from __future__ import annotations

import functools

from jinja2 import Environment, PackageLoader, StrictUndefined


@functools.cache
def _environment() -> Environment:
    # Escaping is for all, as all templates are XML.
    return Environment(
        loader=PackageLoader("imperv.tasks.delivery"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip


def fill(template: str, **values: object) -> str:
    """Text of a template such as ``metadata.xml``, every value escaped; jinja2.UndefinedError if one is missing."""
    return _environment().get_template(f"{template}.j2").render(**values)
