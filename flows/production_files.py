"""Production files made from others: for the next pair of years, and for one tile beside a production."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tomli_w

from tasks.errors import InputError
from tasks.production import Production
from tasks.toml_files import read_toml


def table_of(file: Path, production: Production) -> dict[str, Any]:
    """What a production file says, with absolute paths, so that it may be written elsewhere."""
    table = read_toml(file)

    def absolute(value: Any) -> Any:
        return [absolute(v) for v in value] if isinstance(value, list) else production.path(value) if value else value

    table["store"] = production.store_url
    for key in ("aoi", "base"):
        if key in table:
            table[key] = absolute(table[key])
    references = table.get("references", {})
    for key, value in references.items():
        if isinstance(value, str | list):
            references[key] = absolute(value)
    table["scenes"]["catalogue"] = absolute(table["scenes"]["catalogue"])
    return table


def write_production(table: dict[str, Any], out: Path, remark: str) -> Path:
    """Write a production file that can be read, or none.

    Raises
    ------
    InputError
        If what it says is wrong.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = out.with_name(f".{out.name}.draft")
    draft.write_text(f"# {remark}\n{tomli_w.dumps(table)}", encoding="utf-8")
    try:
        Production.read(draft)
    except InputError as error:
        raise InputError(str(error).replace(str(draft), str(out))) from None
    else:
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)
    return out


def file_of(path: Path) -> Path:
    """A production file, or the one in a folder."""
    return path / "production.toml" if path.is_dir() else path
