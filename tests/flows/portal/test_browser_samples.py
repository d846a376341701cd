"""Drawing in a real browser: by mouse, by keys, by touch, in two windows, and while the disk is full.

What was drawn is never lost: a save that is refused is told and tried again, a window that is closed leaves its draft in the
browser, and a second writer chooses between both.
"""

from __future__ import annotations

import json
import resource
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import geopandas
import pytest
import shapely

from imperv.flows.portal.projects import Project
from imperv.flows.portal.samples import check, read, save
from tests.support.drawn import LEFT, TOP, feature, new_project, square, written
from tests.support.pages import Page, assert_fits_all, drawn, gestures, opened
from tests.support.portal import Portal, portal_on

pytestmark = pytest.mark.slow

AT = f"at={LEFT + 1000},{TOP - 500},2.5"
"""The middle of the area; a pixel of the screen has 2.5 m."""

Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def running(tmp_path_factory) -> Iterator[Portal]:
    folder = tmp_path_factory.mktemp("drawing") / "projects"
    (folder / "templates").mkdir(parents=True)
    with portal_on(f"--projects={folder}") as portal:
        yield portal


@pytest.fixture
def project(running) -> Project:
    """A new one for each test."""
    return new_project(Path(running.process.args[4].partition("=")[2]))


@pytest.fixture
def visit(browser, running, project) -> Iterator[Visit]:
    """Opens the project with its tab Draw."""
    with ExitStack() as stack:

        def visit(expected: str = "", page: Page = None, **context: Any) -> Page:
            path = f"projects/{project.id}/"
            if page is None:
                page = stack.enter_context(opened(browser, running, AT, expected, path, **context))
            else:
                page = page.context.new_page()
                page.goto(f"{running.origin}/{path}#{AT}")
            page.get_by_role("tab", name="Draw").click()
            drawn(page)
            return page

        yield visit


def on_screen(page: Page, easting: float, northing: float) -> tuple[float, float]:
    """Place of the window where a place of EPSG:3035 is shown."""
    x, y = page.evaluate(f"() => portal.map.getPixelFromCoordinate([{easting}, {northing}])")
    box = page.locator("#map").bounding_box()
    return box["x"] + x, box["y"] + y


def click(page: Page, easting: float, northing: float) -> None:
    page.mouse.click(*on_screen(page, easting, northing))
    page.wait_for_timeout(280)  # two quick clicks are a double click


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*on_screen(page, *start))
    page.mouse.down()
    page.mouse.move(*on_screen(page, *end), steps=5)
    page.mouse.up()


def saved(page: Page, version: int | None = None) -> None:
    """Wait until the server has everything."""
    page.get_by_text(f"Saved as version {version}." if version else "Saved as version", exact=bool(version)).wait_for()


def shapes(project: Project) -> dict[str, shapely.Geometry]:
    """What the server keeps, by class or name."""
    return {
        f["properties"]["name"] or f["properties"]["class"]: shapely.from_geojson(json.dumps(f["geometry"]))
        for f in read(project)["features"]
    }


def test_two_classes_by_mouse(visit, project, tmp_path):
    """Draw, edit, name, undo, redo, reload, download, upload; everything comes back within a centimetre."""
    page = visit()
    page.get_by_label("water").check()
    for x, y in ((900, 400), (1000, 400), (1000, 500), (900, 500)):
        click(page, LEFT + x, TOP - y)
    page.get_by_role("button", name="Finish").click()
    page.get_by_role("button", name="Rectangle").click()
    page.get_by_label("grass").check()
    click(page, LEFT + 1200, TOP - 400)
    click(page, LEFT + 1300, TOP - 500)
    saved(page)
    for name, x in (("water", 900), ("grass", 1200)):
        assert shapes(project)[name].hausdorff_distance(shapely.box(LEFT + x, TOP - 500, LEFT + x + 100, TOP - 400)) < 2.5
    # A corner is moved, and the whole.
    page.get_by_role("button", name="Edit").click()
    click(page, LEFT + 950, TOP - 450)
    drag(page, (LEFT + 1000, TOP - 500), (LEFT + 1050, TOP - 550))
    drag(page, (LEFT + 950, TOP - 450), (LEFT + 930, TOP - 450))
    page.get_by_role("textbox", name="Name").fill("the lake")
    page.get_by_role("textbox", name="Name").press("Tab")
    saved(page)
    moved = shapely.Polygon([(LEFT + x, TOP - y) for x, y in ((880, 400), (980, 400), (1030, 550), (880, 500))])
    page.evaluate("() => portal.draw.samples.saved()")
    assert shapes(project)["the lake"].hausdorff_distance(moved) < 4
    assert page.locator("#draw-classes .count").all_inner_texts() == ["0", "0", "0", "0", "1", "0", "1"]
    # Erase, and undo by button and keys.
    page.get_by_role("button", name="Erase").click()
    click(page, LEFT + 1250, TOP - 450)
    assert page.locator("#draw-list > li").count() == 1
    page.keyboard.press("Control+z")
    assert page.locator("#draw-list > li").count() == 2
    page.keyboard.press("Control+z")
    assert page.locator("#draw-list button.name").first.inner_text() == "1 water"
    page.keyboard.press("Control+Shift+z")
    page.get_by_role("button", name="Redo").click()
    assert page.locator("#draw-list button.name").all_inner_texts() == ["1 the lake"]
    page.get_by_role("button", name="Undo").click()
    page.evaluate("() => portal.draw.samples.saved()")
    kept = shapes(project)
    page.reload()
    page.get_by_role("tab", name="Draw").click()
    assert page.locator("#draw-list button.name").all_inner_texts() == ["1 the lake", "2 grass"]
    for form in ("GeoJSON", "GeoPackage"):
        with page.expect_download() as event:
            page.get_by_role("button", name=f"Download {form}").click()
        file = tmp_path / event.value.suggested_filename
        event.value.save_as(file)
        table = geopandas.read_file(file).to_crs("EPSG:3035")
        assert all(
            shape.hausdorff_distance(kept[name or kind]) < 0.01
            for shape, name, kind in zip(table.geometry, table["name"], table["class"], strict=True)
        )
    page.locator("#draw-file").set_input_files(file)
    page.get_by_role("button", name="Replace all by 2 polygons").click()
    page.evaluate("() => portal.draw.samples.saved()")
    back = shapes(project)
    assert back.keys() == kept.keys() and all(back[name].hausdorff_distance(kept[name]) < 0.01 for name in kept)
    # An earlier version, which is a new one.
    page.get_by_text("Versions", exact=True).click()
    first = page.get_by_role("button", name="Take version 1 back")
    first.click()
    page.get_by_text("version 1 again").wait_for()
    assert "the lake" not in shapes(project) and read(project)["how"] == "version 1 again"
    page.get_by_role("button", name="Undo").click()
    page.evaluate("() => portal.draw.samples.saved()")
    assert "the lake" in shapes(project)


def test_snap_and_the_clicks_of_tools(visit, project):
    """A corner near another one is put on it; no click of a tool reads values."""
    page = visit()
    page.get_by_role("button", name="Rectangle").click()
    click(page, LEFT + 800, TOP - 400)
    click(page, LEFT + 900, TOP - 500)
    page.get_by_label("water").check()
    click(page, LEFT + 905, TOP - 395)
    click(page, LEFT + 1000, TOP - 500)
    page.get_by_role("button", name="Point").click()
    click(page, LEFT + 1100, TOP - 600)
    page.keyboard.press("Escape")
    page.evaluate("() => portal.draw.samples.saved()")
    found = [shapely.from_geojson(json.dumps(f["geometry"])) for f in read(project)["features"]]
    assert [shape.geom_type for shape in found] == ["Polygon", "Polygon", "Point"]
    assert found[0].bounds[2:] == (found[1].bounds[0], found[1].bounds[3])
    assert page.get_by_role("tab", name="Draw").get_attribute("aria-selected") == "true" and page.locator("#draw-bar").is_hidden()
    click(page, LEFT + 1150, TOP - 600)
    page.get_by_text("No layer has a pixel there").wait_for()


def test_faults_are_listed_and_mended(visit, project, tmp_path):
    page = visit(expected="422")
    path = written(tmp_path / "p.geojson", ("gras", square(10, 10)), ("grass", square(-90, 10)), ("grass", square(40, 200, 20)),
                   ("water", square(50, 210, 20)))  # fmt: skip
    page.locator("#draw-file").set_input_files(path)
    page.get_by_text("did you mean grass?").wait_for()
    assert page.locator("#draw-uploaded li").count() == 3
    page.get_by_role("button", name="Add 2 polygons").click()
    page.get_by_text("2 polygons to be mended").wait_for()
    assert page.locator("#draw-list .trouble").count() == 2 and "share 100 pixels" in page.locator("#draw-list").inner_text()
    page.get_by_role("button", name="Delete 2 water").click()
    page.get_by_text("2 polygons to be mended").wait_for(state="hidden")
    page.get_by_text("All polygons are of class grass").wait_for()
    # A ring that crosses itself is shown as it was mended.
    page.evaluate(f"() => portal.look({{ center: [{LEFT + 650}, {TOP - 450}], resolution: 2.5 }})")
    page.get_by_role("button", name="Polygon", exact=True).click()
    for x, y in ((600, 400), (700, 500), (700, 400), (600, 500)):
        click(page, LEFT + x, TOP - y)
    page.get_by_role("button", name="Finish").click()
    page.evaluate("() => portal.draw.samples.saved()")
    last = read(project)["features"][-1]
    assert (
        last["geometry"]["type"] == "MultiPolygon"
        and page.evaluate("() => portal.draw.samples.records.at(-1).geometry") == last["geometry"]
    )
    # What cannot be read is told as well, and can be closed.
    path.write_text("{")
    page.locator("#draw-file").set_input_files(path)
    page.get_by_text("p.geojson is no JSON; export it anew").wait_for()
    page.get_by_role("button", name="Close").click()
    assert page.locator("#draw-uploaded").is_hidden()


def test_all_by_keyboard(visit, project):
    page = visit()
    page.get_by_label("bare soil").focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_label("buildings").is_checked()
    page.get_by_role("button", name="Point").press("Enter")
    page.locator("#map").focus()
    page.keyboard.press("Enter")
    assert page.get_by_role("tab", name="Draw").get_attribute("aria-selected") == "true"

    def move(key: str, times: int) -> None:
        for _ in range(times):
            page.keyboard.press(f"Shift+{key}")

    page.get_by_role("button", name="Rectangle").press("Space")
    page.locator("#map").focus()
    move("ArrowRight", 5)
    page.keyboard.press("Enter")
    move("ArrowRight", 5)
    move("ArrowDown", 5)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Polygon", exact=True).press("Enter")
    page.locator("#map").focus()
    move("ArrowDown", 5)
    page.keyboard.press("Enter")
    move("ArrowDown", 5)
    page.keyboard.press("Enter")
    move("ArrowLeft", 9)
    page.keyboard.press("Enter")
    page.keyboard.press("Backspace")
    move("ArrowRight", 4)
    page.keyboard.press("Enter")
    page.keyboard.press("f")
    page.evaluate("() => portal.draw.samples.saved()")
    point, rectangle, polygon = (shapely.from_geojson(json.dumps(f["geometry"])) for f in read(project)["features"])
    assert (point.x, point.y) == pytest.approx((LEFT + 1000, TOP - 500), abs=2.5)
    assert rectangle.bounds == pytest.approx((point.x + 100, point.y - 100, point.x + 200, point.y), abs=2.5)
    assert len(polygon.exterior.coords) == 4 and polygon.area == pytest.approx(100 * 100 / 2, rel=0.1)
    # Choose what is in the middle, move it, delete it; and the same by the list.
    page.get_by_role("button", name="Edit").press("Enter")
    page.evaluate(f"() => portal.look({{ center: [{rectangle.centroid.x}, {rectangle.centroid.y}], resolution: 2.5 }})")
    page.locator("#map").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Alt+ArrowLeft")
    page.evaluate("() => portal.draw.samples.saved()")
    assert shapely.from_geojson(json.dumps(read(project)["features"][1]["geometry"])).bounds[0] == pytest.approx(
        rectangle.bounds[0] - 2.5
    )
    page.keyboard.press("Delete")
    assert page.locator("#draw-list > li").count() == 2
    page.locator("#draw-list button.name").nth(1).press("Enter")
    assert page.evaluate("() => document.activeElement.textContent") == "2 buildings"
    page.locator("#draw-list select").select_option("water")
    page.get_by_role("button", name="Delete 2 water").press("Enter")
    assert page.evaluate("() => document.activeElement.getAttribute('aria-label')") == "Delete 1 buildings"
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    assert page.locator("#draw-list button.name").all_inner_texts() == ["1 buildings", "2 buildings"]


def test_all_by_touch(visit, project):
    """A phone: tap corners, pinch in between, finish, drag a corner, erase."""
    page = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    gesture = gestures(page)

    def tap(easting: float, northing: float) -> None:
        page.touchscreen.tap(*on_screen(page, easting, northing))
        page.wait_for_timeout(350)

    page.get_by_label("grass").tap()
    tap(LEFT + 950, TOP - 450)
    tap(LEFT + 1050, TOP - 450)
    x, y = on_screen(page, LEFT + 1000, TOP - 500)
    gesture(((x - 50, y), (x - 20, y)), ((x + 50, y), (x + 20, y)))
    assert page.evaluate("() => portal.map.getView().getResolution()") > 2.5
    tap(LEFT + 1050, TOP - 600)
    page.get_by_role("button", name="Finish").tap()
    saved(page, 1)
    (triangle,) = shapes(project).values()
    wanted = shapely.Polygon([(LEFT + a, TOP - b) for a, b in ((950, 450), (1050, 450), (1050, 600))])
    assert triangle.hausdorff_distance(wanted) < 6
    page.get_by_role("button", name="Edit").tap()
    tap(LEFT + 1030, TOP - 500)
    gesture((on_screen(page, LEFT + 1050, TOP - 600), on_screen(page, LEFT + 1250, TOP - 600)))
    page.evaluate("() => portal.draw.samples.saved()")
    (dragged,) = shapes(project).values()
    assert dragged.bounds[2] == pytest.approx(LEFT + 1250, abs=12)
    page.get_by_role("button", name="Erase").tap()
    tap(LEFT + 1030, TOP - 500)
    page.evaluate("() => portal.draw.samples.saved()")
    assert not shapes(project)


def test_two_windows(visit, project):
    """The second writer is told, and loses nothing: theirs, or its own over it."""
    first = visit(expected="412")
    second = visit(page=first)
    for page, name, x in ((first, "grass", 900), (second, "water", 1100)):
        page.bring_to_front()
        page.get_by_label(name).check()
        page.get_by_role("button", name="Rectangle").click()
        click(page, LEFT + x, TOP - 400)
        click(page, LEFT + x + 50, TOP - 450)
        if page is first:
            saved(page, 1)
    alert = second.locator("#draw-newer")
    alert.wait_for()
    assert "version 1 was saved by another window" in alert.inner_text() and list(shapes(project)) == ["grass"]
    with second.expect_download() as event:
        second.get_by_role("button", name="Take the newer one").click()
    table = geopandas.read_file(event.value.path())
    second.get_by_text("What you had drawn was given to you as a file").wait_for()
    assert list(table["class"]) == ["water"] and second.locator("#draw-list button.name").all_inner_texts() == ["1 grass"]
    assert alert.is_hidden()
    # The other way round: the first has not looked since.
    second.get_by_role("button", name="Point").click()
    click(second, LEFT + 1100, TOP - 600)
    saved(second, 2)
    first.evaluate("() => portal.draw.samples.change([])")
    first.locator("#draw-newer").wait_for()
    first.get_by_role("button", name="Save mine over it").click()
    saved(first, 3)
    assert not shapes(project)
    # A window without changes of its own follows.
    second.evaluate("() => dispatchEvent(new Event('focus'))")
    second.get_by_text("Another window saved what is shown now").wait_for()
    assert second.locator("#draw-list > li").count() == 0


@pytest.mark.parametrize("newer", [False, True], ids=["alone", "and somebody saved meanwhile"])
def test_a_full_disk_and_a_closed_window_lose_nothing(visit, project, running, newer):
    page = visit(expected="422")
    limits = resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE)
    try:
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (10, limits[1]))
        page.get_by_role("button", name="Point").click()
        click(page, LEFT + 1100, TOP - 600)
        page.get_by_text("free space on the disk of the projects").wait_for()
        assert not shapes(project)
        asked: list[str] = []
        page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
        other = page.context.new_page()
        page.close(run_before_unload=True)
        page.wait_for_event("close") if not page.is_closed() else None
        assert asked == ["beforeunload"]
    finally:
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, limits)
    if newer:
        save(project, 0, check(project, [feature(1, "water", square(1, 1))]), "drawn")
    again = visit(page=other)
    if newer:
        again.get_by_text("was not saved before another window saved a newer version").wait_for()
        assert list(shapes(project)) == ["water"]
        again.get_by_role("button", name="Save mine over it").click()
    saved(again, 2 if newer else 1)
    assert list(shapes(project)) == ["bare soil"]


def test_a_save_whose_answer_was_lost_is_no_newer_version_of_another_window(visit, project):
    def lose(route: Any) -> None:
        if route.request.method == "PUT":
            route.fetch()
            route.abort()
        else:
            route.continue_()

    page = visit(expected="ERR_FAILED")
    page.route("**/api/samples", lose)
    page.get_by_role("button", name="Point").click()
    click(page, LEFT + 1100, TOP - 600)
    page.get_by_text("It stays in this browser").wait_for()
    assert list(shapes(project)) == ["bare soil"]
    page.on("dialog", lambda dialog: dialog.accept())
    other = page.context.new_page()
    page.close(run_before_unload=True)
    page.wait_for_event("close") if not page.is_closed() else None
    again = visit(page=other)
    saved(again, 1)
    assert again.evaluate("() => [portal.draw.samples.newer, portal.draw.samples.past.length]") == ["", 0]


def test_the_tab_is_accessible_and_fits(visit, tmp_path):
    page = visit(viewport={"width": 390, "height": 844})
    path = written(tmp_path / "a name of a file that is longer than the panel is wide.geojson", ("grass", square(60, 150, 20)),
                   ("water", square(70, 160, 20)), ("coniferous trees", square(100, 200, 20)))  # fmt: skip
    page.locator("#draw-file").set_input_files(path)
    page.get_by_role("button", name="Add 3 polygons").wait_for()
    assert_fits_all(page)
    page.get_by_role("button", name="Add 3 polygons").click()
    page.get_by_text("2 polygons to be mended").wait_for()
    page.locator("#draw-list button.name").first.click()
    page.get_by_text("Versions", exact=True).click()
    page.get_by_role("button", name="Take version 1 back").wait_for()
    assert_fits_all(page, "draw")
