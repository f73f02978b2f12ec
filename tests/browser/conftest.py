"""Shared fixtures: one Chromium and one server, which end with this folder: others run event loops of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page, Playwright

    from tests.support.browser import Server


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The program, serving two sessions at most."""
    from tests.support.browser import Server

    folder = tmp_path_factory.mktemp("recordings")
    with Server("from pathlib import PosixPath\n", max_sessions=2, recordings=folder) as running:
        yield running


@pytest.fixture(scope="package")
def context(playwright: Playwright, clip: Path) -> Iterator[BrowserContext]:
    from tests.support.browser import chromium, webcam

    with chromium(playwright, *webcam(clip)) as running:
        yield running


@pytest.fixture
def page(context: BrowserContext, server: Server) -> Iterator[Page]:
    """Open the page of the module's server; fail if it contacts another host or throws an error."""
    from tests.support.browser import opened, settle

    hosts, complaints = set(), []
    page = context.new_page()
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]) if "//" in request.url[:8] else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield opened(page, server.url)
    page.evaluate("() => localStorage.clear()")
    page.close()
    assert hosts == {server.url.removeprefix("http://")}
    assert complaints == []
    settle(server)


@pytest.fixture
def live(page: Page) -> Page:
    from tests.support.browser import wait_for

    page.click("#start")
    wait_for(page, "live")
    return page
