"""The page of demo/, in a real browser: built by `make site`, in a folder of any server."""

import base64
import functools
import io
import re
import shutil
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest

from config import REPOSITORY

pytestmark = pytest.mark.slow

NEEDED = ("chromium", "chromedriver", "npm", "make")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking")
INK = "return [...canvas.getContext('2d').getImageData(0, 0, 28, 28).data]"
LOADED = "return performance.getEntriesByType('resource').map((each) => each.name)"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder that `make site` builds with the included generator."""
    if missing := [program for program in NEEDED if not shutil.which(program)]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    folder = tmp_path_factory.mktemp("host") / "some" / "where"
    build = ["make", "--old-file", ".venv/ready-dev", "site", f"SITE={folder}"]
    build += [f"BIN={Path(sys.executable).parent}", "ARGS=--run pretrained"]
    subprocess.run(build, cwd=REPOSITORY, check=True, capture_output=True, timeout=300)
    return folder


@pytest.fixture(scope="module")
def address(site):
    """Where the page is served."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=site.parent.parent)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/some/where/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser(site, tmp_path_factory):
    """A browser that keeps its console's log."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


@pytest.fixture
def page(browser, address):
    """The page, which has drawn its first digit."""
    return Page(browser, address)


class Page:
    """The page as a visitor sees it."""

    def __init__(self, browser, address):
        self.browser = browser
        browser.get("about:blank")
        browser.get(address)
        self.wait(lambda: "Drawn in" in self.status and self.entries)

    def wait(self, condition):
        """Wait until a condition holds; fails after 5 minutes."""
        from selenium.webdriver.support.wait import WebDriverWait

        WebDriverWait(self.browser, 300, poll_frequency=0.02).until(lambda _: condition())

    def do(self, action, *arguments):
        """Do what makes the page show another digit, and wait until its address says so."""
        before = self.address
        action(*arguments)
        self.wait(lambda: self.address != before)

    def find(self, selector):
        return self.browser.find_element("css selector", selector)

    @property
    def address(self):
        return self.browser.current_url

    @property
    def status(self):
        return self.find("#status").text

    @property
    def digit(self):
        """What the classifier reads."""
        return int(re.search(r"reads (\d)", self.status)[1])

    @property
    def entries(self):
        """The links of the strip, the newest first."""
        return self.browser.find_elements("css selector", "#strip a")

    @property
    def ink(self):
        """The picture, (28, 28) from 0 to 255."""
        return np.array(self.browser.execute_script(INK)).reshape(28, 28, 4)[..., 3]


@pytest.mark.parametrize("digit", [0, 3, 8])
def test_the_picked_digit_is_drawn(page, digit):
    page.do(page.find(f"[value='{digit}']").click)
    assert page.digit == digit and np.ptp(page.ink) > 200  # ink on paper
    first = page.ink
    page.do(page.find("button").click)
    assert page.digit == digit and (page.ink != first).any()


def test_a_link_reopens_the_same_digit(page):
    from selenium.webdriver.common.keys import Keys

    page.do(page.find("[value='4']").click)
    straight, num_entries = page.ink, len(page.entries)
    first, second, *_ = page.browser.find_elements("css selector", "[type=range]")
    for slider, key in ((first, Keys.ARROW_RIGHT), (second, Keys.END), (first, Keys.ARROW_RIGHT)):
        page.do(slider.send_keys, key)
    bent, link = page.ink, page.find("#link").get_attribute("href")
    assert (bent != straight).any() and link == page.address
    assert len(page.entries) == num_entries  # a bent digit keeps its place
    again = Page(page.browser, link)
    np.testing.assert_array_equal(again.ink, bent)
    assert again.address == link and again.find("[value='4']").is_selected()


def test_the_strip_and_the_back_button_reopen_the_last_digits(page):
    shown = [(page.address, page.ink)]
    for _ in range(13):
        page.do(page.find("button").click)
        shown.insert(0, (page.address, page.ink))
    page.wait(lambda: page.entries[0].get_attribute("href") == page.address)
    assert [each.get_attribute("href") for each in page.entries] == [each for each, _ in shown[:12]]
    page.do(page.entries[3].click)
    page.wait(lambda: (page.ink == shown[3][1]).all())
    assert page.address == shown[3][0] and len(page.entries) == 12
    page.browser.back()
    page.wait(lambda: page.address == shown[0][0] and (page.ink == shown[0][1]).all())


def test_the_png_is_the_digit_in_black_on_white(page):
    download, seed = page.find("#download"), re.search(r"seed=(\d+)", page.address)[1]
    assert download.get_attribute("download") == f"digit-{page.digit}-seed-{seed}.png"
    content = base64.b64decode(download.get_attribute("href").partition(",")[2])
    png = imageio.imread(io.BytesIO(content))[..., 0]
    assert png.shape == (280, 280)
    np.testing.assert_allclose(255 - png[5::10, 5::10].astype(int), page.ink, atol=1)


def test_a_missing_generator_is_named(page, site):
    away = (site / "generator.onnx").rename(site.parent / "generator.onnx")
    try:
        page.browser.refresh()
        page.wait(lambda: all(word in page.status for word in ("Cannot draw", "onnx", "make demo")))
        assert not page.find("button").is_enabled()
    finally:
        away.rename(site / "generator.onnx")


def test_all_of_it_comes_from_below_its_own_address(browser, address):
    browser.get_log("browser")  # what came before
    Page(browser, address)
    loaded = browser.execute_script(LOADED)
    assert len(loaded) >= 6 and all(url.startswith((address, "data:")) for url in loaded)
    assert not browser.get_log("browser")
