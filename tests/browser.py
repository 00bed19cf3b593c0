"""A page in a real browser: what it asked for, what it complained about, and what it shows."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@dataclass
class OpenedPage:
    """A page, and what has happened in it so far."""

    page: Any
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@contextmanager
def browser() -> Iterator[Any]:
    """A headless Chromium of this machine; skips the test where there is none."""
    playwright = pytest.importorskip("playwright.sync_api")
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip("no Chromium or Chrome on this machine")
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield running
        running.close()


@contextmanager
def opened(running: Any, file: Path) -> Iterator[OpenedPage]:
    """A file opened in a browser, once plotly has drawn it."""
    context = running.new_context(viewport={"width": 1280, "height": 800}, color_scheme="light")
    opened = OpenedPage(context.new_page())
    opened.page.on("request", lambda request: opened.requests.append(request.url))
    opened.page.on("console", lambda message: message.type == "error" and opened.complaints.append(message.text))
    opened.page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.page.goto(file.as_uri())
    opened.page.wait_for_function("() => document.querySelector('.plotly-graph-div')?._fullLayout?.xaxis?._offset")
    yield opened
    context.close()


def places(opened: OpenedPage) -> dict[str, tuple[float, float]]:
    """Return where on the screen the page shows which point, by what stands in bold in its label."""
    found: dict[str, Any] = opened.page.evaluate("""() => {
        const plot = document.querySelector('.plotly-graph-div'), box = plot.getBoundingClientRect();
        const {xaxis, yaxis} = plot._fullLayout;
        return Object.fromEntries(plot._fullData.flatMap((trace) => trace.customdata.map((label, i) => [label[0], [
            box.left + xaxis._offset + xaxis.c2p(trace.x[i]), box.top + yaxis._offset + yaxis.c2p(trace.y[i]),
        ]])));
    }""")
    return {name: (x, y) for name, (x, y) in found.items()}


def label_at(opened: OpenedPage, place: tuple[float, float]) -> list[str]:
    """Return the lines of the label that the page shows when the mouse comes to a place."""
    opened.page.mouse.move(3, 3)
    opened.page.wait_for_function("() => !document.querySelector('.hovertext')")
    opened.page.mouse.move(*place)
    opened.page.wait_for_selector(".hovertext", timeout=5000)
    lines: list[str] = opened.page.locator(".hovertext tspan.line").all_text_contents()
    return lines or opened.page.locator(".hovertext text").all_text_contents()
