"""What Prefect shows of a tile."""

import re
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

from flows.artifacts import products_markdown
from tasks.delivery import deliver
from tasks.job import Job
from tests.delivered import production, put


def test_links_lead_to_files_and_missing_products_are_left_out(tmp_path):
    job = Job.of(production(tmp_path / "a store"), "E43N32")
    put(job, "SBU")
    deliver(job, "SBU")
    text = products_markdown(job)
    links = [Path(url2pathname(urlparse(link).path)) for link in re.findall(r"\((file:[^)]*)\)", text)]
    assert [path.suffix for path in links] == [".tif", ".png"]
    assert all(path.is_file() for path in links)
    row = text.splitlines()[-1]
    assert "| Share of built-up, 100 m | 100 m | 99.2 % |" in row or "| 99.0 % |" in row
    assert "report" not in text.lower()
    (tmp_path / "a store/runs").mkdir(exist_ok=True)
    (tmp_path / "a store/runs/E43N32.report.html").write_text("<html/>")
    assert "[Report of the tile](file://" in products_markdown(job)
