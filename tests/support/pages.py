"""Pages of a portal in a real browser: opened without an error, drawn to the end, accessible and as wide as the screen."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import Image

from tests.support.browser import screenshots
from tests.support.portal import Portal

WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

PATIENCE = 90_000
"""Milliseconds that a page may take for anything on a machine that is busy."""

Page = Any


@contextmanager
def opened(
    browser: Any, portal: Portal, fragment: str = "", expected: str = "", path: str = "", **context: Any
) -> Iterator[Page]:
    """The page after its link was opened, or that of a `path` in a session.

    Fails for errors of the console but `expected`, and for requests to other hosts.
    """
    trouble: list[str] = []
    context.setdefault("viewport", {"width": 1280, "height": 800})
    made = browser.new_context(**context)
    made.set_default_timeout(PATIENCE)

    def listen(page: Page) -> None:
        def said(message: Any) -> None:
            if message.type in ("error", "warning"):
                trouble.append(f"{message.type}: {message.text} {message.location['url']}")

        page.on("console", said)
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("request", lambda r: None if r.url.startswith((portal.origin, "blob:", "data:")) else trouble.append(r.url))

    made.on("page", listen)
    try:
        page = made.new_page()
        if path:  # only the first page takes the token
            begun = made.request.post(
                f"{portal.origin}/api/session", data={"token": portal.token}, headers={"x-imperv": "1", "origin": portal.origin}
            )
            assert begun.ok, begun.text()
            page.goto(f"{portal.origin}/{path}#{fragment}")
        else:
            page.goto(f"{portal.link}&{fragment}" if fragment else portal.link)
        yield page
        found = [text for text in trouble if not (expected and re.search(expected, text))]
        assert not found, found
    except Exception as error:
        said = [one.inner_text() for one in page.get_by_role("alert").all()]
        error.add_note(f"the page {page.url} said {said}, its console {trouble}")
        raise
    finally:
        made.close()


def drawn(page: Page) -> None:
    """Wait until the map has all its tiles, and the screen shows them: what was going on before is let pass."""
    page.evaluate("""async () => {
        const frame = () => new Promise(done => requestAnimationFrame(() => setTimeout(done)));
        await frame();
        await frame();
        await new Promise(done => { portal.map.once('rendercomplete', () => done()); portal.map.render(); });
        await frame();
    }""")


def screen(page: Page) -> np.ndarray:
    """The map as it is on the screen, (y, x, 3), without what lies over it."""
    drawn(page)
    box = page.locator("#map").bounding_box()
    picture = Image.open(io.BytesIO(page.screenshot(clip=box)))
    return np.asarray(picture.convert("RGB"))


def places(page: Page, count: int, seed: int = 3) -> list[tuple[int, int, float, float]]:
    """Random pixels of the map: (column, row) on the screen, (easting, northing) of their centres."""
    box = page.locator("#map").bounding_box()
    rng = np.random.default_rng(seed)
    pixels = [(int(rng.integers(60, box["width"] - 60)), int(rng.integers(130, box["height"] - 130))) for _ in range(count)]
    found = page.evaluate("pixels => pixels.map(([x, y]) => portal.map.getCoordinateFromPixel([x + 0.5, y + 0.5]))", pixels)
    return [(x, y, easting, northing) for (x, y), (easting, northing) in zip(pixels, found, strict=True)]


def assert_fits(page: Page, width: int) -> None:
    """No violation of WCAG 2.2 AA that axe finds, a map, and no sideways scrolling at a width of the screen."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options={"runOnly": WCAG})
    assert [v["id"] for v in found.response["violations"]] == [], json.dumps(found.response["violations"], indent=1)[:3000]
    inner, scroll = page.evaluate("() => [innerWidth, document.documentElement.scrollWidth]")
    assert inner == width and scroll <= inner
    assert page.locator("#map").bounding_box()["height"] > 200
    sideways = "() => [...document.querySelectorAll('[role=tabpanel]:not([hidden])')].map(e => e.scrollWidth - e.clientWidth)"
    assert page.evaluate(sideways) == [0]


def assert_fits_all(page: Page, picture: str = "", widths: Sequence[int] = (390, 768, 1280)) -> None:
    """`assert_fits` on a phone, a tablet and a desk, which the page becomes in turn; with pictures where they are asked for."""
    for width in widths:
        page.set_viewport_size({"width": width, "height": 844})
        drawn(page)
        assert_fits(page, width)
        if picture and (folder := screenshots()):
            page.screenshot(path=folder / f"{picture}-{width}.png")


def gestures(page: Page) -> Callable[..., None]:
    """Moves fingers over a page, each from one place to another at the same time, and waits until the map is drawn."""
    touch = page.context.new_cdp_session(page)

    def gesture(*fingers: tuple[tuple[float, float], tuple[float, float]]) -> None:
        def points(share: float) -> list[dict[str, float]]:
            return [
                {"x": a[0] + share * (b[0] - a[0]), "y": a[1] + share * (b[1] - a[1]), "id": k}
                for k, (a, b) in enumerate(fingers)
            ]

        touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": points(0)})
        for step in range(1, 7):
            touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": points(step / 6)})
            page.wait_for_timeout(30)
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        page.wait_for_timeout(500)
        drawn(page)

    return gesture
