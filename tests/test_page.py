"""The folder that `make site` builds, served by a plain file server under a path of its host."""

import base64
import io
import json
import os
import re
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest

from config import REPOSITORY
from pages import build_site, opened_browser, served, wait_until

pytestmark = pytest.mark.slow
INK = "return [...canvas.getContext('2d').getImageData(0, 0, 28, 28).data]"


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """A folder that is served, and in which the page is in some/where."""
    folder = tmp_path_factory.mktemp("host")
    build_site(folder / "some" / "where")
    return folder


@pytest.fixture(scope="module")
def address(host):
    with served(host) as address:
        yield f"{address}some/where/"


@pytest.fixture(scope="module")
def browser(host, tmp_path_factory):
    with opened_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def page(browser, address):
    """The browser, in which the page has drawn its first digit."""
    browser.get("about:blank")
    browser.get(address)
    wait_until(browser, lambda: entries(browser))
    return browser


def entries(browser):
    """The links of the strip, the newest first."""
    return browser.find_elements("css selector", "#strip a")


def do(browser, action, *arguments):
    """Do what changes the page's address, and wait until it has."""
    before = browser.current_url
    action(*arguments)
    wait_until(browser, lambda: browser.current_url != before)


def new_digit(browser):
    do(browser, browser.find_element("css selector", "button").click)


def test_all_of_it_comes_from_below_its_own_address(page, address):
    messages = [json.loads(each["message"])["message"] for each in page.get_log("performance")]
    asked = [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]
    assert len(asked) >= 7
    assert all(url.startswith((address, "data:", "about:", "chrome:")) for url in asked)
    assert not page.get_log("browser")


def test_the_folder_holds_no_absolute_address_and_nothing_of_this_machine(host):
    for name in ("index.html", "demo.css", "demo.js"):
        text = (host / "some" / "where" / name).read_text()
        assert not re.search(r"(src|href)=\"/|url\(/|https?://|from \"/", text), name
        assert str(REPOSITORY) not in text
    assert sum(path.stat().st_size for path in host.rglob("*") if path.is_file()) < 40e6


def test_the_strip_keeps_the_last_digits(page):
    shown = [page.current_url]
    for _ in range(13):
        new_digit(page)
        shown.insert(0, page.current_url)
    wait_until(page, lambda: entries(page)[0].get_attribute("href") == shown[0])
    assert [entry.get_attribute("href") for entry in entries(page)] == shown[:12]
    pictures = page.find_elements("css selector", "#strip img")
    assert len({picture.get_attribute("src") for picture in pictures}) == 12
    assert all(re.fullmatch(r"A handwritten \d", each.accessible_name) for each in pictures)
    current = page.find_elements("css selector", "#strip [aria-current]")
    assert [entry.get_attribute("href") for entry in current] == shown[:1]


def test_a_digit_of_the_strip_is_reopened_in_its_place(page):
    first, ink = page.current_url, page.execute_script(INK)
    new_digit(page)
    do(page, entries(page)[1].click)
    wait_until(page, lambda: page.execute_script(INK) == ink)
    assert page.current_url == first and len(entries(page)) == 2
    assert entries(page)[1].get_attribute("aria-current") == "true"


def test_a_bent_digit_keeps_its_place_in_the_strip(page):
    new_digit(page)
    before = page.find_element("css selector", "#strip img").get_attribute("src")
    do(page, page.find_element("css selector", "[type=range]").send_keys, "\ue010")  # End
    wait_until(page, lambda: entries(page)[0].get_attribute("href") == page.current_url)
    assert len(entries(page)) == 2
    assert page.find_element("css selector", "#strip img").get_attribute("src") != before


def test_the_png_is_the_digit_in_black_on_white(page):
    download = page.find_element("id", "download")
    seed = re.search(r"seed=(\d+)", page.current_url)[1]
    assert re.fullmatch(rf"digit-\d-seed-{seed}\.png", download.get_attribute("download"))
    kind, data = download.get_attribute("href").split(",")
    assert kind == "data:image/png;base64"
    png = imageio.imread(io.BytesIO(base64.b64decode(data)))[..., 0]
    ink = np.array(page.execute_script(INK)).reshape(28, 28, 4)[..., 3]
    assert png.shape == (280, 280)
    np.testing.assert_allclose(255 - png[5::10, 5::10].astype(int), ink, atol=1)


@pytest.mark.parametrize("width", [360, 390, 1280])
def test_nothing_needs_sideways_scrolling(page, width):
    for _ in range(11):
        new_digit(page)
    size = {"width": width, "height": 844, "deviceScaleFactor": 2, "mobile": width < 1000}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        root = "document.documentElement"
        assert page.execute_script(f"return {root}.scrollWidth <= {root}.clientWidth")
        assert all(min(entry.size.values()) >= 44 for entry in entries(page))  # for a finger
        if folder := os.environ.get("DIGITGEN_SCREENSHOTS"):  # to be looked at
            shot = page.execute_cdp_cmd(
                "Page.captureScreenshot", {"captureBeyondViewport": True, "format": "png"}
            )
            Path(folder, f"page-{width}.png").write_bytes(base64.b64decode(shot["data"]))
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
