"""Journeys through the portal in a real browser, under the real content policy.

On every page: no error of the console, no request to another host; on a phone, a tablet and a desk no violation of WCAG 2.2 AA
that axe finds, and no sideways scrolling. A store that changes or goes while the page is open is told in one line.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from imperv.flows.runtime.journal import note_run
from imperv.layers.colouring import colour_table
from imperv.layers.palette import CHANGE, DENSITY
from imperv.tasks.nodes import make_node
from imperv.tasks.store.store import Store
from tests.support.browser import screenshots
from tests.support.pages import PATIENCE, Page, assert_fits_all, drawn, gestures, opened, places, screen
from tests.support.portal import Portal, portal_on
from tests.support.report_store import LEFT, TILE, TOP, copied

pytestmark = pytest.mark.slow

DENSITY_LAYER, CHANGE_LAYER = "IMD_now.2018-2021.0", "IMDC.2018-2021.0"
AT = f"at={LEFT + 1500},{TOP - 1500},10"
"""The middle of the production, a pixel of the layer being one of the screen."""


@pytest.fixture
def visit(browser, portal) -> Iterator[Callable[..., Page]]:
    """Opens the page and waits until its map is drawn."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def visit(fragment: str = "", **context: Any) -> Page:
            page = stack.enter_context(opened(browser, portal, fragment, **context))
            page.locator("#shown > li").first.wait_for()
            drawn(page)
            # They move what is below them when they come.
            page.wait_for_function("() => [...document.querySelectorAll('#shown .legend')].every(e => e.childNodes.length)")
            return page

        yield visit


def code_at(array: Any, easting: float, northing: float) -> int | None:
    """Code of a layer at a place; None outside of it."""
    step = abs(array.odc.geobox.resolution.x)
    row, column = int((TOP - northing) // step), int((easting - LEFT) // step)
    inside = 0 <= row < array.shape[0] and 0 <= column < array.shape[1]
    return int(array.values[row, column]) if inside else None


@pytest.fixture(scope="module")
def arrays(production) -> dict[str, Any]:
    store = Store(str(production / "store"))
    return {symbol: store.open(symbol, TILE) for symbol in ("IMD_now", "IMDC")}


def test_500_pixels_on_the_screen_have_the_colour_of_their_code(visit, arrays):
    page = visit(f"{AT}&on={DENSITY_LAYER}:100")
    found, table = screen(page), colour_table(DENSITY, 255)
    seen = 0
    for x, y, easting, northing in places(page, 3000):
        code = code_at(arrays["IMD_now"], easting, northing)
        if code is not None and code != 255:
            assert found[y, x].tolist() == table[code, :3].tolist(), (x, y, code)
            seen += 1
    assert seen >= 500


@pytest.mark.parametrize("resolution", [2.5, 1.25])
def test_pixels_are_squares_when_they_are_looked_at_closely(visit, arrays, resolution):
    page = visit(f"at={LEFT + 1500},{TOP - 1500},{resolution}&on={CHANGE_LAYER}:100")
    found, table = screen(page), colour_table(CHANGE, 255)
    for x, y, easting, northing in places(page, 300):
        code = code_at(arrays["IMDC"], easting, northing)
        if code is not None and code != 255:
            assert found[y, x].tolist() == table[code, :3].tolist()


def test_the_link_opens_a_session_and_leaves_no_token(visit, portal):
    page = visit()
    assert portal.token not in page.url and "token" not in page.url
    cookies = page.context.cookies()
    assert [(c["httpOnly"], c["sameSite"]) for c in cookies] == [(True, "Strict")]
    assert page.evaluate("document.cookie") == "" and page.evaluate("Object.keys(localStorage).length") == 0
    assert page.locator("h1").inner_text() == "imperv Sealing of Vienna"
    assert page.locator("#shown > li .name").all_inner_texts() == ["Imperviousness density, percent"]
    assert "100 % imperviousness" in page.locator("#shown .legend").inner_text()
    # A second visit of the same browser needs no token.
    again = page.context.new_page()
    again.goto(portal.origin)
    again.locator("#shown > li").first.wait_for()


def test_without_the_link_the_page_says_what_to_do(browser, portal):
    for fragment in ("", "#token=wrong"):
        with opened(browser, portal, expected="401"):
            pass
        made = browser.new_context()
        made.set_default_timeout(PATIENCE)
        page = made.new_page()
        page.goto(f"{portal.origin}/{fragment}")
        page.get_by_text(re.compile("open the link that imperv portal printed")).wait_for()
        assert page.locator("#shown > li").count() == 0
        made.close()


def test_layers_are_in_groups_with_the_titles_of_the_catalogue(visit, portal):
    page = visit()
    groups = page.locator("#groups details details summary").all_inner_texts()
    assert (
        groups == ["Maps (18)", "Reference layers (5)", "Intermediate layers (22)", "Features (10)"] or groups[0] == "Maps (18)"
    )
    total = sum(int(re.search(r"\((\d+)\)", text)[1]) for text in groups)
    assert total == len(portal.get("/api/layers")["layers"])
    page.locator("#filter").fill("confidence")
    assert sorted(page.locator("#groups .choice .detail").all_inner_texts()) == [
        "IBUCL · 2018-2021 · 10 m",
        "IMDCL · 2018-2021 · 10 m",
    ]


def test_eye_opacity_and_order(visit, arrays):
    page = visit(f"{AT}&on={DENSITY_LAYER}:100")
    only = screen(page)
    page.get_by_role("button", name="Show Imperviousness change, 20 m, 2018-2021").click()
    assert page.locator("#shown > li .name").all_inner_texts() == [
        "Imperviousness change, 20 m",
        "Imperviousness density, percent",
    ]
    above = screen(page)
    (x, y, easting, northing) = next(
        p
        for p in places(page, 3000)
        if code_at(arrays["IMD_now"], *p[2:]) not in (None, 255, 0) and code_at(arrays["IMDC"], *p[2:]) not in (None, 255)
    )
    density = colour_table(DENSITY, 255)[code_at(arrays["IMD_now"], easting, northing), :3].astype(int)
    change = colour_table(CHANGE, 255)[code_at(arrays["IMDC"], easting, northing), :3].astype(int)
    assert only[y, x].tolist() == density.tolist() and above[y, x].tolist() == change.tolist()
    # Half of it lets half of the lower one through.
    slider = page.get_by_role("slider", name="Opacity of Imperviousness change")
    slider.fill("50")
    assert np.abs(screen(page)[y, x] - (density + change) / 2).max() <= 1.5
    slider.fill("100")
    page.get_by_role("button", name="Move Imperviousness density, percent up").click()
    assert screen(page)[y, x].tolist() == density.tolist()
    page.get_by_role("button", name="Hide Imperviousness density, percent").click()
    assert screen(page)[y, x].tolist() == change.tolist()
    page.get_by_role("button", name="Take Imperviousness change, 20 m off").click()
    assert page.locator("#shown > li").count() == 1
    assert page.get_by_role("button", name="Show Imperviousness change, 20 m, 2018-2021").get_attribute("aria-pressed") == "false"


def test_swipe_by_mouse_and_by_keys(visit, arrays):
    page = visit(f"{AT}&on={CHANGE_LAYER}:100,{DENSITY_LAYER}:100")
    page.get_by_label("Compare two layers").check()
    line = page.get_by_role("slider", name="Swipe line")
    tables = {"left": ("IMD_now", colour_table(DENSITY, 255)), "right": ("IMDC", colour_table(CHANGE, 255))}

    def sides() -> tuple[int, int]:
        """Right pixels left and right of the line; every one that has codes in both."""
        found, at, width = (
            screen(page),
            int(line.get_attribute("aria-valuenow")) / 100,
            page.locator("#map").bounding_box()["width"],
        )
        counts = {"left": 0, "right": 0}
        for x, y, easting, northing in places(page, 600, 5):
            codes = {side: code_at(arrays[symbol], easting, northing) for side, (symbol, _) in tables.items()}
            if set(codes.values()) & {None, 255} or abs(x - at * width) < 30:
                continue
            side = "left" if x < at * width else "right"
            assert found[y, x].tolist() == tables[side][1][codes[side], :3].tolist(), (side, x, y)
            counts[side] += 1
        return counts["left"], counts["right"]

    left, right = sides()
    assert left > 20 and right > 20
    box = page.locator("#map").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 260, steps=4)
    page.mouse.up()
    assert line.get_attribute("aria-valuenow") == "40"
    fewer, more = sides()
    assert fewer < left and more > right
    for key, value in (
        ("ArrowRight", "41"),
        ("Shift+ArrowRight", "51"),
        ("ArrowLeft", "50"),
        ("PageUp", "60"),
        ("Home", "0"),
        ("End", "100"),
    ):
        line.press(key)
        assert line.get_attribute("aria-valuenow") == value
    assert sides()[1] == 0
    # The other way round.
    page.get_by_label("Left").select_option(CHANGE_LAYER)
    tables["left"], tables["right"] = tables["right"], tables["left"]
    line.press("Home")
    for _ in range(5):
        line.press("PageUp")
    assert min(sides()) > 20


def test_values_at_a_point_are_those_of_the_layers(visit, arrays, portal):
    page = visit(f"{AT}&on={DENSITY_LAYER}:100")
    x, y, easting, northing = next(p for p in places(page, 500) if code_at(arrays["IMD_now"], *p[2:]) not in (None, 255, 0))
    page.mouse.click(page.locator("#map").bounding_box()["x"] + x + 0.5, page.locator("#map").bounding_box()["y"] + y + 0.5)
    rows = page.locator("#point tbody tr")
    rows.first.wait_for()
    density = code_at(arrays["IMD_now"], easting, northing)
    first = rows.first.inner_text()  # what is shown comes first
    assert "IMD_now" in first and f"{density} % imperviousness" in first and f"code {density}" in first
    texts = " ".join(rows.all_inner_texts())
    assert "B04_q20 0." in texts and "CLCplus Backbone, now" in texts
    assert page.get_by_role("tab", name="Values").get_attribute("aria-selected") == "true"
    assert rows.count() == len(portal.get(f"/api/value?x={easting}&y={northing}")["layers"]) > 40


def test_a_link_carries_the_view(visit):
    page = visit(f"at={LEFT + 900},{TOP - 1100},5&on={CHANGE_LAYER}:35,{DENSITY_LAYER}:80:0,PP.2021.0:100")
    page.get_by_label("Compare two layers").check()
    page.get_by_label("Left").select_option(CHANGE_LAYER)
    page.get_by_role("slider", name="Swipe line").press("PageUp")
    page.evaluate("() => document.activeElement.blur()")  # no ring of the focus in the picture
    link = page.url
    other = page.context.new_page()
    other.goto(link)
    other.locator("#shown > li").nth(2).wait_for()
    drawn(other)
    assert other.url == link
    state = """() => [portal.map.getView().getCenter(), portal.map.getView().getResolution(),
        portal.layers.shown.map(e => [e.id, e.opacity, e.visible])]"""
    assert other.evaluate(state) == page.evaluate(state)
    assert other.evaluate(state)[0] == pytest.approx([LEFT + 900, TOP - 1100], abs=2.5) and other.evaluate(state)[1] == 5
    assert other.get_by_role("slider", name="Swipe line").get_attribute("aria-valuenow") == "60"
    middle = slice(250, 500), slice(300, 620)  # without the grid of degrees, whose lines hang on where the view came from
    assert (screen(other)[middle] == screen(page)[middle]).all()
    # What a link says wrongly is passed over.
    other.goto(link.partition("#")[0] + "#at=x,y&on=NOTHING:1,../..:2&swipe=a")
    other.reload()
    other.locator("#none").wait_for()


def test_tiles_towns_countries_and_coordinates_are_found(visit):
    page = visit()
    box = page.get_by_role("combobox")
    middle = "() => portal.map.getView().getCenter()"

    def go(text: str) -> list[float]:
        box.fill(text)
        page.locator("#found li").first.wait_for()
        box.press("Enter")
        drawn(page)
        return page.evaluate(middle)

    assert go("vienn") == pytest.approx([4_794_000, 2_808_000], abs=3000)
    assert go("kobenhavn") == pytest.approx([4_482_000, 3_622_000], abs=6000)
    assert go("e44n26") == pytest.approx([4_450_000, 2_650_000], abs=400)
    assert go("52, 10") == pytest.approx([4_321_000, 3_210_000], abs=5)
    assert go("4500000 2700000") == pytest.approx([4_500_000, 2_700_000], abs=5)
    east, north = go("austria")
    assert 4.3e6 < east < 4.8e6 and 2.6e6 < north < 2.9e6
    box.fill("E44N2")
    assert page.locator("#found li").all_inner_texts()[:2] == ["E44N20 tile", "E44N21 tile"]
    box.press("ArrowDown")
    assert box.get_attribute("aria-activedescendant") == "found-1"
    box.press("Escape")
    assert page.locator("#found").is_hidden() and box.get_attribute("aria-expanded") == "false"
    box.fill("nowhere at all")
    page.get_by_text("Nothing of this name").wait_for()


def test_tiles_have_their_state_and_their_report(visit):
    page = visit()
    page.get_by_role("tab", name="Tiles").click()
    row = page.locator("#tile-list li")
    assert TILE in row.inner_text() and row.locator(".state").inner_text() in ("done", "out of date", "incomplete")
    assert page.locator("#production").inner_text().startswith("1 tile") and page.locator("#tile-states button").count() == 1
    row.get_by_role("button", name=TILE).click()
    assert page.evaluate("() => portal.map.getView().getCenter()") == pytest.approx([4_450_000, 2_650_000], abs=400)
    with page.context.expect_page() as event:
        page.get_by_role("link", name=f"Report of {TILE}").click()
    report = event.value
    report.wait_for_load_state()
    assert TILE in report.locator("h1").inner_text()
    # Its script runs, and can ask nothing of the portal.
    assert report.evaluate("() => window.origin") == "null"


def test_all_by_keyboard(visit, arrays):
    """A person without a mouse: search, map, values, layers, opacity, order, swipe; the focus is always seen."""
    page = visit(f"{AT}&on={DENSITY_LAYER}:100")

    def focused() -> str:
        return page.evaluate(
            "() => { const e = document.activeElement; return e.id || e.getAttribute('aria-label') || e.textContent; }"
        )

    def ring() -> bool:
        return page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle !== 'none'")

    def tab_to(name: str, key: str = "Tab") -> None:
        for _ in range(80):
            page.keyboard.press(key)
            assert ring(), focused()
            if name in focused():
                return
        raise AssertionError(f"{name} is not reached by {key}")

    page.keyboard.press("Tab")
    assert focused() == "Skip the map"
    tab_to("search")
    page.keyboard.type("e44n26")
    page.keyboard.press("Enter")
    drawn(page)
    assert page.evaluate("() => portal.map.getView().getCenter()") == pytest.approx([4_450_000, 2_650_000], abs=400)
    page.evaluate(f"() => portal.look({{ center: [{LEFT + 1500}, {TOP - 1500}], resolution: 10 }})")
    tab_to("map")
    before = page.evaluate("() => portal.map.getView().getCenter()")
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(300)
    drawn(page)
    assert page.evaluate("() => portal.map.getView().getCenter()")[0] > before[0]
    page.keyboard.press("+")
    page.wait_for_function("() => portal.map.getView().getResolution() === 5")
    page.evaluate(f"() => portal.look({{ center: [{LEFT + 1505}, {TOP - 1505}], resolution: 10 }})")
    page.keyboard.press("Enter")
    page.locator("#point tbody tr").first.wait_for()
    assert f"code {code_at(arrays['IMD_now'], LEFT + 1505, TOP - 1505)}" in page.locator("#point tbody tr").first.inner_text()
    tab_to("tab-values")
    page.keyboard.press("ArrowLeft")
    assert focused() == "tab-layers"
    tab_to("Opacity of Imperviousness density")
    page.keyboard.press("ArrowLeft")
    page.wait_for_url(re.compile(":95"))
    tab_to("Show Impervious built-up")
    page.keyboard.press("Space")
    assert focused().startswith("Show Impervious built-up") and page.locator("#shown > li").count() == 2
    tab_to("Move Impervious built-up down", "Shift+Tab")
    page.keyboard.press("Enter")
    assert page.locator("#shown > li .name").first.inner_text() == "Imperviousness density, percent"
    tab_to("swiping")
    page.keyboard.press("Space")
    for _ in range(40):
        if focused() == "swipe":
            break
        page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowLeft")
    assert page.get_by_role("slider", name="Swipe line").get_attribute("aria-valuenow") == "49"


def test_all_by_touch(visit, arrays):
    """A phone: tap the map, drag it, pinch it, drag the swipe line, tap the eye."""
    page = visit(
        f"{AT}&on={CHANGE_LAYER}:100,{DENSITY_LAYER}:100", viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    gesture = gestures(page)
    box = page.locator("#map").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    view = "() => [portal.map.getView().getCenter()[0], portal.map.getView().getResolution()]"

    page.touchscreen.tap(x, y)
    page.locator("#point tbody tr").first.wait_for()
    page.get_by_role("tab", name="Layers").tap()
    east, _ = page.evaluate(view)
    gesture(((x, y), (x - 90, y)))
    assert page.evaluate(view)[0] > east + 500
    gesture(((x - 20, y), (x - 70, y)), ((x + 20, y), (x + 70, y)))
    assert page.evaluate(view)[1] < 10
    page.get_by_label("Compare two layers").tap()
    gesture(((x, y), (x - 78, y)))
    assert int(page.get_by_role("slider", name="Swipe line").get_attribute("aria-valuenow")) in range(28, 33)
    page.get_by_role("button", name="Hide Imperviousness density, percent").tap()
    page.wait_for_url(re.compile(re.escape(f"{DENSITY_LAYER}:100:0")))
    targets = "() => [...document.querySelectorAll('button, select, input[type=search], summary')].filter(e => e.offsetParent)"
    heights = page.evaluate(f"() => ({targets})().map(e => e.getBoundingClientRect().height)")
    assert min(heights) >= 24


def test_every_page_is_accessible_and_fits(visit):
    page = visit(
        f"{AT}&on={CHANGE_LAYER}:100,{DENSITY_LAYER}:60&swipe=50,{DENSITY_LAYER},{CHANGE_LAYER}",
        viewport={"width": 390, "height": 844},
    )
    page.locator("#shown .legend").nth(1).locator(".bar").first.wait_for()
    for tab in ("Layers", "Values", "Tiles"):
        page.get_by_role("tab", name=tab).click()
        if tab == "Values":
            page.locator("#map").press("Enter")
            page.locator("#point tbody tr").first.wait_for()
        assert_fits_all(page, tab.lower())


def test_names_of_people_are_text(browser, filled, tmp_path):
    """A folder, and with it a production, may have any name."""
    folder = tmp_path / "<img src=x onerror=alert(1)>"
    copied(filled, folder)
    with portal_on(folder) as running, opened(browser, running) as page:
        page.locator("#shown > li").first.wait_for()
        assert page.locator("#site").inner_text() == folder.name and page.locator("#site img").count() == 0


def test_what_changes_in_the_store_changes_on_the_page(browser, filled, tmp_path):
    """A layer is made again, a run fails, the store goes, and comes back: the open page follows."""
    job = copied(filled, tmp_path / "moving", "[parameters.built_up]\nthreshold = 41\n")
    name = "IBU_now.2018-2021.0"
    with (
        portal_on(tmp_path / "moving") as running,
        opened(browser, running, f"{AT}&on={name}:100", expected="410|404|503|CONNECTION_REFUSED") as page,
    ):
        page.locator("#shown > li").first.wait_for()
        key = page.evaluate("() => portal.layers.shown[0].key")
        make_node(job, "IBU_now")
        note_run(job, "failed", "IMD_now: the disk is full")
        now = next(entry["key"] for entry in waited(running, lambda f: f["key"] != key, name))
        end = time.monotonic() + 300
        while page.evaluate("() => portal.renew().then(() => portal.layers.shown[0].key)") != now and time.monotonic() < end:
            page.wait_for_timeout(300)
        assert page.evaluate("() => portal.layers.shown[0].key") == now
        page.get_by_role("tab", name="Tiles").click()
        while "the disk is full" not in page.locator("#tile-list").inner_text() and time.monotonic() < end:
            page.wait_for_timeout(500)
            page.evaluate("() => portal.renew()")
        assert "the disk is full" in page.locator("#tile-list").inner_text()
        shutil.move(tmp_path / "moving" / "store", tmp_path / "away")
        while running.get("/api/layers")["layers"] and time.monotonic() < end + 30:
            time.sleep(0.5)
        page.evaluate("() => portal.renew()")
        page.get_by_text("There is no layer in EPSG:3035 yet.").wait_for()
        assert page.locator("#shown > li").count() == 0
        panel = page.locator("[role=tablist]").bounding_box()
        running.process.terminate()
        running.process.wait(60)
        page.evaluate("() => { portal.watch(); }")
        page.get_by_text("The portal does not answer; is it still running?").wait_for()
        assert page.locator("[role=tablist]").bounding_box() == panel  # nothing moves away under a press
        for width in (1280, 390) if screenshots() else ():
            page.set_viewport_size({"width": width, "height": 800})
            page.screenshot(path=screenshots() / f"message_{width}.png")


def waited(running: Portal, fits: Callable[[dict], bool], name: str) -> list[dict]:
    end = time.monotonic() + 120  # looks take their time on a busy machine, and rest for five times as long
    while time.monotonic() < end:
        if found := [entry for entry in running.get("/api/layers")["layers"] if entry["id"] == name and fits(entry)]:
            return found
        time.sleep(0.3)
    raise AssertionError(f"{name} did not change")


def test_pairs_of_layers_are_a_click_away(visit):
    page = visit(AT)
    page.get_by_role("button", name="IMD_then beside IMD_now, 2018-2021").click()
    drawn(page)
    assert page.locator("#shown > li").count() == 2 and page.locator("#swipe").is_visible()
    assert page.locator("#left-name").inner_text().startswith("IMD_then") and page.locator("#right-name").inner_text().startswith(
        "IMD_now"
    )
