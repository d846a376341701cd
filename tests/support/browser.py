"""A real browser for tests: Chromium of the system. Without one such tests are skipped, in CI they fail."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")

REQUIRED = "IMPERV_TEST_BROWSER"
"""Set to ``required`` where a browser must be there, as `.ci/run` does."""

ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
    "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup,PaintHolding,HttpsUpgrades,MediaRouter,OptimizationHints",
)  # fmt: skip
"""No process of its own asks anything of the network, and no window makes the pages of an address bar that nobody sees, which
took two fifths of the time of every page. The features are instead of those that Playwright puts off, and name the ones that
matter here."""


def browser_path() -> str:
    """Path of the browser; skips the test without one, or fails it where one is required."""
    found = next((path for name in NAMES if (path := shutil.which(name))), "")
    if not found:
        (pytest.fail if os.environ.get(REQUIRED) == "required" else pytest.skip)("no Chromium is installed")
    return found


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser without a window, with a new profile."""
    path = browser_path()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=list(ARGUMENTS))
        yield browser
        browser.close()


def screenshots() -> Path | None:
    """Folder that pictures of the pages go to, where ``IMPERV_TEST_PICTURES`` names one."""
    folder = os.environ.get("IMPERV_TEST_PICTURES")
    return Path(folder) if folder else None
