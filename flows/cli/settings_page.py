"""All settings of a production file, from the models that read it: docs/settings.md."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from imperv.layers.catalogue import DEFAULT
from imperv.tasks.settings.overrides import keys_of, part_of
from imperv.tasks.settings.production import production_class

HEAD = """# Settings

All keys of a production file, as `imperv config settings` prints them. Environment variables override the file:
`IMPERV_ENGINE__MEMORY="4 GiB"` sets `engine.memory`. The name is `IMPERV_` and the key in capitals, with two underscores for
a dot. Lists and tables are JSON: `IMPERV_TILES='["E43N32"]'`. Unknown keys are refused, as are unknown variables with two
underscores or a name like one of these. Other variables that begin with `IMPERV_` are ignored. `IMPERV_LOG` and
`IMPERV_LOG_LEVEL` are described in [operations](operations.md).
"""


def settings_page(product: str = DEFAULT) -> str:
    """Markdown of all settings of a product."""
    return HEAD + "\n".join(_lines("", production_class(product, "--product")))


def _lines(name: str, model: type[BaseModel]) -> Iterator[str]:
    """Table of a model's own keys, then those of its parts."""
    own = keys_of(model)
    parts = {key: part for key, field in own.items() if (part := part_of(field.annotation))}
    texts = _docstrings(model)
    rows = [
        f"| `{key}` | {_default(field)} | {' '.join(texts.get(key, '').split()).replace('|', '/')} |"
        for key, field in own.items()
        if key not in parts
    ]
    if rows:
        yield f"\n## {f'[{name}]' if name else 'Top level'}\n"
        yield f"{(inspect.getdoc(model) or '').splitlines()[0]}\n"
        yield "| key | default | meaning |"
        yield "|---|---|---|"
        yield from rows
    for key, part in parts.items():
        yield from _lines(f"{name}.{key}" if name else key, part)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    if field.default_factory is not None:  # differs between machines
        return ""
    value = field.get_default()
    if value in (None, "", (), {}):
        return ""
    return f"`{list(value)}`" if isinstance(value, tuple) else f"`{value}`"


def _docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Texts below the fields of a class and of what it inherits from."""
    found: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if not (issubclass(cls, BaseModel) and cls.__module__.split(".")[0] not in ("pydantic", "pydantic_settings")):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, text in zip(body.body, body.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
                found[field.target.id] = str(getattr(text.value, "value", ""))
    return found
