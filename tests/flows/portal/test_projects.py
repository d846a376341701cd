"""Projects as files: made from templates, renamed, put in the trash; what cannot be one is refused in a line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imperv.flows.portal.jobs import Jobs
from imperv.flows.portal.project_routes import every
from imperv.flows.portal.projects import MissingError, Projects, projects_in
from imperv.tasks.errors import InputError
from imperv.tasks.settings.production import Production
from tests.support.portal import portal_on

TEMPLATE = (
    'product = "landcover"\nstore = "elsewhere"\ntiles = ["E43N32"]\n[scenes]\ncatalogue = "items.json"\n'
    '[references]\nclcplus = "../clcplus.tif"\n'
)
BBOX = (4_422_300.5, 2_598_000, 4_424_000, 2_599_000)


@pytest.fixture
def projects(tmp_path) -> Projects:
    found = projects_in(tmp_path / "projects")
    (found.folder / "templates/town.toml").write_text(TEMPLATE)
    (found.folder / "templates/broken.toml").write_text('product = "nothing"\n')
    (found.folder / "templates/no.toml").write_text("= [")
    return found


def test_a_project_is_a_production_file(projects):
    made = projects.create("  Old   town ", "town", BBOX, "2021-06")
    assert made.about["label"] == "Old town" and [p.id for p in projects.every()] == [made.id]
    production = Production.read(made.config)
    assert production.tile_names == ("E44N25",) and production.area.bbox == (4_422_000, 2_598_000, 4_424_000, 2_599_000)
    assert Path(production.store_url) == made.folder / "store"
    assert (production.references.clcplus, production.scenes.catalogue) == ("../clcplus.tif", "../templates/items.json")
    draft = projects.draft("town", BBOX, "2021")
    assert Path(draft.scenes.catalogue) == projects.folder / "templates/items.json"
    assert (
        projects.draft("town", BBOX, "2021").periods.span
        == Production.of(
            {"product": "landcover", "tiles": ["E44N25"], "periods": {"span": "2021"}, "scenes": {"catalogue": "x.json"}},
            made.config,
        ).periods.span
    )
    assert projects.rename(made.id, "New").about["label"] == "New"
    projects.discard(made.id)
    assert not projects.every() and [p.name[:12] for p in (projects.folder / "trash").iterdir()] == [made.id]
    with pytest.raises(MissingError):
        projects.find(made.id)


def test_a_folder_of_projects_can_be_moved(projects, tmp_path):
    """Paths that a template has from its own folder go along; absolute ones and addresses stay as they are."""
    text = TEMPLATE.replace('"../clcplus.tif"', f'"{tmp_path}/clcplus.tif"\nfootprints = ["https://example.org/a.fgb", "b.fgb"]')
    (projects.folder / "templates/town.toml").write_text(text)
    name = projects.create("Town", "town", BBOX, "2021-06").id
    moved = Projects(projects.folder.rename(tmp_path / "moved"))
    production = moved.find(name).production()
    found = [production.path(p) for p in (production.scenes.catalogue, production.references.clcplus)]
    assert [Path(p).resolve() for p in found] == [tmp_path / "moved/templates/items.json", tmp_path / "clcplus.tif"]
    urls = [production.path(p) for p in production.references.footprints]
    assert urls[0] == "https://example.org/a.fgb" and Path(urls[1]).resolve() == tmp_path / "moved/templates/b.fgb"


@pytest.mark.parametrize(
    ("label", "template", "bbox", "span", "why"),
    [
        ("", "town", BBOX, "2021-06", "name of 1 to 80"),
        ("a\u202eb", "town", BBOX, "2021-06", "name of 1 to 80"),
        ("a", "broken", BBOX, "2021-06", "no template broken; there are town"),
        ("a", "../town", BBOX, "2021-06", "no template"),
        ("a", "town", (1, 2, 1, 3), "2021-06", "is not \\[left"),
        ("a", "town", (float("nan"), 2, 1, 3), "2021-06", "is not \\[left"),
        ("a", "town", (4_300_000, 2_500_000, 4_500_000, 2_700_000), "2021-06", "40000 km2; at most 10000"),
        ("a", "town", (2_700_000, 3_100_000, 2_701_000, 3_101_000), "2021-06", "touches no tile"),
        ("a", "town", BBOX, "2021-13", "2021-13"),
    ],
)
def test_what_is_no_project(projects, label, template, bbox, span, why):
    with pytest.raises(InputError, match=why):
        projects.create(label, template, bbox, span)
    assert not projects.every() and {f.name for f in projects.folder.iterdir()} == {"templates"}


@pytest.mark.parametrize("name", ["", "..", "templates", "0" * 12, "0" * 13, "../" + "0" * 9])
def test_ids_are_never_paths(projects, name):
    with pytest.raises(MissingError):
        projects.find(name)


@pytest.mark.slow
def test_projects_by_requests(projects):
    with portal_on(f"--projects={projects.folder}") as portal:
        script = {"Authorization": f"Bearer {portal.token}", "Content-Type": "application/json"}
        body = json.dumps({"label": "Town", "template": "town", "bbox": BBOX, "span": "2021-06"})
        status, _, found = portal.ask("/api/projects", script, "POST", body)
        name = json.loads(found)["id"]
        assert status == 201 and portal.get(f"/projects/{name}/api/project")["label"] == "Town"
        assert portal.get(f"/projects/{name}/api/site")["kind"] == "project" and portal.get("/api/site")["kind"] == "projects"
        assert portal.get(f"/projects/{name}/api/layers")["layers"] == []
        assert portal.ask(f"/projects/{'0' * 12}/api/layers", script)[0] == 404
        assert portal.ask(f"/projects/{name}/api/layers")[0] == 401
        for wrong in ({"bbox": [0, 0, 1, 1]}, {"span": "never"}, {"template": "../x"}, {"store": "/etc"}):
            status, _, found = portal.ask("/api/projects", script, "POST", json.dumps(json.loads(body) | wrong))
            assert status == 422 and "\n" not in json.loads(found)["detail"]
        for huge in (1e308, -1e308, 1e11):
            for path in ("/api/projects", "/api/estimate", "/api/calendar"):
                wrong = {"template": "town", "bbox": [huge, 0, 1e308, 1]} | ({"year": 2021} if path.endswith("r") else {})
                status, _, found = portal.ask(path, script, "POST", json.dumps(wrong))
                assert status == 422 and b"than or equal" in found
        assert portal.ask(f"/api/projects/{name}", script, "PATCH", json.dumps({"label": "Other"}))[0] == 200
        listed = portal.get("/api/projects")
        assert [p["label"] for p in listed["projects"]] == ["Other"] and [t["name"] for t in listed["templates"]] == ["town"]
        assert portal.ask(f"/api/projects/{name}", script, "DELETE", "{}")[0] == 200
        assert portal.get("/api/projects")["projects"] == []


@pytest.mark.parametrize("text", ["5", "[]", "{", '{"label": 5, "template": [], "created": 3}', '{"id": "x", "more": {}}'])
def test_a_label_that_is_none_is_the_id(projects, text):
    other, made = (projects.create("Old", "town", BBOX, "2021") for _ in range(2))
    (made.folder / "project.json").write_text(text)
    listed = {project.id: project.about for project in projects.every()}
    assert listed[made.id] == {"label": made.id, "template": "", "created": ""} and listed[other.id]["label"] == "Old"


@pytest.mark.parametrize("line", ["parameters = 5", "parameters.classes.list = 5", "product = []", "scenes = 1"])
def test_a_template_that_is_wrong_is_told(projects, line):
    text = "\n".join(part for part in TEMPLATE.splitlines() if not part.startswith("product") or "product" not in line)
    (projects.folder / "templates/wrong.toml").write_text(f"{line}\n{text.split('[scenes]')[0] if 'scenes' in line else text}")
    jobs = Jobs(projects)
    found = every(projects, jobs)
    assert [template["name"] for template in found["templates"]] == ["town"]
    if "product" not in line:  # else it is of no product, as broken.toml
        assert len(found["wrong"]) == 1 and line.partition(" ")[0] in found["wrong"][0] and "\n" not in found["wrong"][0]


def test_a_project_shows_its_own_id(projects):
    made = projects.create("Old", "town", BBOX, "2021")
    (made.folder / "project.json").write_text('{"id": "0123456789ab", "label": "Other"}')
    made.config.write_text("product = []\n")
    (found,) = every(projects, Jobs(projects))["projects"]
    assert (found["id"], found["label"]) == (made.id, "Other") and "product" in found["trouble"]


def test_lines_do_not_say_where_files_lie(projects):
    """A page tells them to whoever has the link."""
    with pytest.raises(InputError, match="^periods.span: ") as refused:
        projects.create("a", "town", BBOX, "/")
    assert str(projects.folder) not in str(refused.value)
    made = projects.create("Old", "town", BBOX, "2021")
    for text in ("= [", "product = 1\n", f"nothing = 1\n{made.config.read_text()}"):
        made.config.write_text(text)
        (listed,) = every(projects, Jobs(projects))["projects"]
        assert listed["trouble"].startswith("production.toml: ") and str(projects.folder) not in listed["trouble"]
    (projects.folder / "templates/town.toml").write_text(f"nothing = 1\n{TEMPLATE}")
    (told,) = every(projects, Jobs(projects))["wrong"]
    assert told.startswith("template town: nothing: unknown key")
