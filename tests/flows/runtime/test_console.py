"""Terminals and files that are not UTF-8, as batch systems have them: commands end as elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from imperv.flows.runtime.console import counted

ROOT = Path(__file__).resolve().parents[3]
COMMAND = "import sys; from imperv.flows.cli.commands import main; sys.exit(main(sys.argv[1:]))"


def said(encoding: str, code: str, *arguments: str) -> tuple[int, bytes, bytes]:
    environment = os.environ | {"PYTHONUTF8": "0", "PYTHONIOENCODING": encoding, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, env=environment, capture_output=True)
    return done.returncode, done.stdout, done.stderr


SAY = "from imperv.flows.runtime.console import out, take_any_character; take_any_character(); "


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("utf-8", "Flächen ██░ ▁▇ ± R² Ł".encode()),
        ("latin-1", b"Fl\xe4chen ##. _% \xb1 R\xb2 \\u0141"),
        ("ascii", b"Fl\\u00e4chen ##. _% \\u00b1 R\\u00b2 \\u0141"),
    ],
)
def test_characters_that_an_encoding_lacks(encoding, expected):
    assert said(encoding, SAY + r"out.print('Fl\xe4chen \u2588\u2588\u2591 \u2581\u2587 \xb1 R\xb2 \u0141')") == (
        0,
        expected + b"\n",
        b"",
    )


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
def test_json_is_the_same_in_every_encoding(encoding):
    code, out, _ = said(encoding, SAY + r"import json; out.print_json(json.dumps({'Fl\xe4chen': '\u0141\U0001f6f0 \udcff'}))")
    assert code == 0 and json.loads(out.decode(encoding)) == {"Flächen": "Ł\U0001f6f0 \udcff"}


@pytest.fixture
def production(tmp_path, shared_data) -> Path:
    folder = tmp_path / "Flächen"
    folder.mkdir()
    text = f"""tiles = ["E38N31"]
store = "{tmp_path}/store"
[periods]
then = "2017-08-01/2018-07-31"
now = "2017-12-01/2018-11-30"
[area]
bbox = [3829000, 3101000, 3831000, 3103000]
[scenes]
catalogue = "{shared_data}/flanders/items.json"
[references]
footprints = ["{shared_data}/flanders/reference/footprints.geojson"]
"""
    (folder / "production.toml").write_text(text, encoding="utf-8")
    return folder / "production.toml"


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["scenes", "E38N31", "-c"], ["config", "check"]])
def test_commands_end_as_on_a_terminal_of_utf_8(production, arguments):
    codes = set()
    for encoding in ("utf-8", "ascii"):
        code, out, errors = said(encoding, COMMAND, *arguments, str(production))
        assert out and b"Traceback" not in errors
        codes.add((code, len(out.splitlines()), len(errors.splitlines())))
    assert len(codes) == 1


@pytest.mark.slow
@pytest.mark.parametrize("command", ["graph", "config settings", "--help", "plan e38n31"])
def test_a_pipe_that_is_closed_early_ends_quietly(command, tmp_path):
    code = f"{COMMAND[: COMMAND.index('sys.exit')]}sys.exit(main({command.split()!r}))"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    assumed = process.stderr.read()
    assert process.wait() == 0
    assert assumed == b"" or (command.startswith("plan") and assumed.startswith(b"imperv: there is no production.toml: planned"))


@pytest.mark.parametrize(("number", "text"), [(0, "0 tiles"), (1, "1 tile"), (2, "2 tiles")])
def test_what_is_counted(number, text):
    assert counted(number, "tile") == text
