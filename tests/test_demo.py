"""The page of demo/, in a real browser: built by `make site`, in a folder of any server."""

import base64
import functools
import io
import json
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
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync")
FLAGS += ("--disable-quic", "--disable-background-networking", "--disable-component-update")
INK = "return [...canvas.getContext('2d').getImageData(0, 0, 28, 28).data]"
OUTLINE = """
const focused = document.activeElement;
const shown = focused.type === "radio" ? focused.nextElementSibling : focused;
return getComputedStyle(shown).outlineStyle;
"""


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


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address(site):
    """Where the page is served."""
    handler = functools.partial(Quiet, directory=site.parent.parent)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/some/where/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser(site, tmp_path_factory):
    """A browser that keeps logs."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
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
        self.wait(lambda: "Here in" in self.status and self.entries)

    def wait(self, condition):
        """Wait until a condition holds; fails after 30 seconds."""
        from selenium.webdriver.support.wait import WebDriverWait

        WebDriverWait(self.browser, 30, poll_frequency=0.02).until(lambda _: condition())

    def do(self, action, *arguments):
        """Do what makes the page show another digit, and wait until its address says so."""
        before = self.address
        action(*arguments)
        self.wait(lambda: self.address != before)

    def new_digit(self):
        self.do(self.find("button").click)

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


@pytest.mark.parametrize("digit", range(10))
def test_the_picked_digit_is_drawn(page, digit):
    page.do(page.find(f"[value='{digit}']").click)
    assert page.digit == digit and np.ptp(page.ink) > 200  # ink on paper
    first = page.ink
    page.new_digit()
    assert page.digit == digit and (page.ink != first).any()


def test_a_link_reopens_the_same_digit(page):
    from selenium.webdriver.common.keys import Keys

    page.do(page.find("[value='4']").click)
    straight = page.ink
    first, second, *_ = page.browser.find_elements("css selector", "[type=range]")
    for slider, key in ((first, Keys.ARROW_RIGHT), (second, Keys.END), (first, Keys.ARROW_RIGHT)):
        page.do(slider.send_keys, key)
    bent, link = page.ink, page.find("#link").get_attribute("href")
    assert (bent != straight).any() and link == page.address
    again = Page(page.browser, link)
    np.testing.assert_array_equal(again.ink, bent)
    assert again.address == link and again.find("[value='4']").is_selected()


def test_the_back_button_reopens_the_digit_before(page):
    before, shown = page.address, page.ink
    page.new_digit()
    page.browser.back()
    page.wait(lambda: page.address == before and (page.ink == shown).all())


@pytest.mark.parametrize("link", ["#", "#seed=7&digit=12&sliders=a,1e999,9", "#seed=99999999999"])
def test_a_broken_link_still_draws(browser, address, link):
    page = Page(browser, address + link)
    assert re.search(r"#seed=\d+&digit=any&sliders=[-0-9.,]+$", page.address)


def test_the_keyboard_does_everything(page):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    def press(key):
        ActionChains(page.browser).send_keys(key).perform()

    for name, key in (
        ("any", Keys.ARROW_RIGHT),
        ("New digit", Keys.SPACE),
        ("one way", Keys.ARROW_LEFT),
        ("another", Keys.HOME),
        ("a third", Keys.END),
        ("a fourth", Keys.ARROW_UP),
        ("Link to this digit", None),
        ("Download PNG", None),
    ):
        press(Keys.TAB)
        assert page.browser.switch_to.active_element.accessible_name == name
        assert page.browser.execute_script(OUTLINE) == "solid"
        if key:
            page.do(press, key)
    assert page.address.endswith("digit=0&sliders=-0.1,-2,2,0.1")


def test_the_strip_keeps_and_reopens_the_last_digits(page):
    shown = [(page.address, page.ink)]
    for _ in range(13):
        page.new_digit()
        shown.insert(0, (page.address, page.ink))
    page.wait(lambda: page.entries[0].get_attribute("href") == page.address)
    assert [each.get_attribute("href") for each in page.entries] == [each for each, _ in shown[:12]]
    pictures = page.browser.find_elements("css selector", "#strip img")
    assert len({picture.get_attribute("src") for picture in pictures}) == 12
    page.do(page.entries[3].click)
    page.wait(lambda: (page.ink == shown[3][1]).all())
    assert page.address == shown[3][0] and len(page.entries) == 12
    assert page.entries[3].get_attribute("aria-current") == "true"


def test_a_bent_digit_keeps_its_place_in_the_strip(page):
    page.new_digit()
    before = page.find("#strip img").get_attribute("src")
    page.do(page.find("[type=range]").send_keys, "\ue010")  # End
    page.wait(lambda: page.entries[0].get_attribute("href") == page.address)
    assert len(page.entries) == 2
    assert page.find("#strip img").get_attribute("src") != before


def test_the_png_is_the_digit_in_black_on_white(page):
    download, seed = page.find("#download"), re.search(r"seed=(\d+)", page.address)[1]
    assert download.get_attribute("download") == f"digit-{page.digit}-seed-{seed}.png"
    content = base64.b64decode(download.get_attribute("href").partition(",")[2])
    png = imageio.imread(io.BytesIO(content))[..., 0]
    assert png.shape == (280, 280)
    np.testing.assert_allclose(255 - png[5::10, 5::10].astype(int), page.ink, atol=1)


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_needs_sideways_scrolling(page, width):
    page.new_digit()
    size = {"width": width, "height": 844, "deviceScaleFactor": 2, "mobile": width < 1000}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        root = "document.documentElement"
        assert page.browser.execute_script(f"return {root}.scrollWidth <= {root}.clientWidth")
        assert all(min(entry.size.values()) >= 44 for entry in page.entries)  # for a finger
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("name", ["generator.onnx", "onnxruntime-web"])
def test_what_is_missing_is_named(page, browser, address, site, name):
    away = (site / name).rename(site.parent / name)
    try:
        browser.execute_cdp_cmd("Network.setCacheDisabled", {"cacheDisabled": True})
        browser.get("about:blank")
        browser.get(address)
        page.wait(lambda: all(word in page.status for word in ("Cannot draw", "onnx", "make demo")))
        assert not page.find("button").is_enabled()
    finally:
        away.rename(site / name)


def test_all_of_it_comes_from_below_its_own_address(browser, address):
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # what came before
    Page(browser, address)
    messages = [json.loads(each["message"])["message"] for each in browser.get_log("performance")]
    asked = [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]
    assert len(asked) >= 7
    assert all(url.startswith((address, "data:", "about:", "chrome:")) for url in asked)
    assert not browser.get_log("browser")
