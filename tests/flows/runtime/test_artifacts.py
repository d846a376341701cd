"""What Prefect shows of a tile."""

import re
from urllib.request import urlopen

from imperv.flows.runtime.artifacts import artifact_key, products_markdown
from imperv.tasks.delivery.delivery import deliver
from imperv.tasks.job import Job
from tests.support.delivered import production, put
from tests.support.range_server import serving


def delivered_tile(folder, links: str = "") -> Job:
    settings = production(folder)
    job = Job.of(settings.model_copy(update={"watch": settings.watch.model_copy(update={"links": links})}), "E43N32")
    put(job, "SBU")
    deliver(job, "SBU")
    return job


def test_links_lead_to_files_where_the_store_has_an_address_and_missing_products_are_left_out(tmp_path):
    """Against a real web server that shows the store."""
    (tmp_path / "web").mkdir()
    with serving(tmp_path / "web") as server:
        job = delivered_tile(tmp_path / "web" / "a store", f"{server.url}/a%20store")
        text = products_markdown(job)
        links = re.findall(r"\((http:[^)]*)\)", text)
        assert [link.rpartition(".")[2] for link in links] == ["tif", "png"]
        assert [urlopen(link).read(4) for link in links] == [b"II*\0", b"\x89PNG"]
    row = text.splitlines()[-1]
    assert "| Share of built-up, 100 m | 100 m | 99.2 % |" in row or "| 99.0 % |" in row
    assert "report" not in text.lower()
    (tmp_path / "web/a store/runs").mkdir(exist_ok=True)
    (tmp_path / "web/a store/runs/E43N32.report.html").write_text("<html/>")
    assert f"[Report of the tile]({server.url}/a%20store/runs/E43N32.report.html)" in products_markdown(job)


def test_keys_are_of_a_tile(tmp_path):
    assert artifact_key(Job.of(production(tmp_path), "E43N32")) == "products-e43n32"


def test_without_an_address_places_are_told_and_no_link_leads_nowhere(tmp_path):
    job = delivered_tile(tmp_path / "a store")
    text = products_markdown(job)
    assert "](" not in text and "file:" not in text
    places = re.findall(r"`([^`]*)`", text)
    assert len(places) == 2 and all(place.startswith(str(tmp_path / "a store" / "products")) for place in places)
