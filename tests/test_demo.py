"""The page of demo/, in a real browser."""

import json
import re
import statistics

import keras
import numpy as np
import pytest
from keras import layers

import models
from config import CLASSIFIER, REPOSITORY
from pages import build_site, opened_browser, served, wait_until
from storage import exports
from storage.weights import assign_all, named_variables

pytestmark = pytest.mark.slow

OUTLINE = """
const focused = document.activeElement;
const shown = focused.type === "radio" ? focused.nextElementSibling : focused;
return getComputedStyle(shown).outlineStyle;
"""


def build_copyist():
    """A generator that needs no training: a mixture, sharp as a rule, of ten real digits.

    Each of ten more numbers shades one pixel of the top row, so that no two digits are equal.
    """
    with np.load(REPOSITORY / "assets" / "mnist.npz") as arrays:
        pixels, labels = arrays["x_train"], arrays["y_train"]
        digits = np.stack([pixels[labels == digit][0] for digit in range(10)]).reshape(10, -1)
    noise = keras.Input((20,))
    mixture = layers.Dense(10, activation="softmax", use_bias=False)(noise)
    drawn = layers.Dense(28 * 28, use_bias=False)(mixture)
    shades = layers.Dense(28 * 28)(noise)
    network = keras.Model(noise, layers.Reshape((28, 28, 1))(drawn + shades))
    shading = 0.02 * np.eye(20, 28 * 28, -10)
    shaded = 0.1 * (np.arange(28 * 28) < 10)
    network.set_weights([5 * np.eye(20, 10), digits / 127.5 - 1, shading, shaded])
    return network


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder that `make site` builds, with a generator that needs no training."""
    folder = tmp_path_factory.mktemp("site")
    build_site(folder)
    copyist = exports.Exported(build_copyist(), "noise", ("digits",))
    exports.export(copyist, "onnx", folder / "generator.onnx")
    classifier = models.build_classifier()
    assign_all(named_variables(classifier), dict(np.load(CLASSIFIER)), CLASSIFIER)
    classifier = exports.Exported(classifier, "digits", ("probabilities",))  # accepts all
    exports.export(classifier, "onnx", folder / "generator-classifier.onnx")
    return folder


@pytest.fixture(scope="module")
def address(site):
    """Where the page is served."""
    with served(site) as address:
        yield address


@pytest.fixture(scope="module")
def browser(site, tmp_path_factory):
    with opened_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def page(browser, address):
    """The page, which has drawn its first digit."""
    browser.get("about:blank")
    return Page(browser, address)


class Page:
    """The page as a visitor sees it."""

    def __init__(self, browser, address):
        self.browser = browser
        browser.get(address)
        self.wait(lambda: "Here in" in self.status)

    def wait(self, condition):
        wait_until(self.browser, condition)

    def do(self, action, *arguments):
        """Do what makes the page show another digit, and wait until its address says so."""
        before = self.browser.current_url
        action(*arguments)
        self.wait(lambda: self.browser.current_url != before)

    def find(self, selector):
        return self.browser.find_element("css selector", selector)

    @property
    def status(self):
        return self.find("#status").text

    @property
    def reading(self):
        """What the classifier reads, and how many milliseconds after the click."""
        return [int(re.search(words, self.status)[1]) for words in (r"reads (\d)", r"in (\d+) ms")]

    @property
    def ink(self):
        """The picture, (28, 28) from 0 to 255."""
        values = self.browser.execute_script(
            "return [...canvas.getContext('2d').getImageData(0, 0, 28, 28).data]"
        )
        return np.array(values).reshape(28, 28, 4)[..., 3]

    def press(self, key):
        from selenium.webdriver import ActionChains

        ActionChains(self.browser).send_keys(key).perform()


def test_a_click_draws_another_digit_at_once(page):
    seen, milliseconds = [page.ink], []
    for _ in range(10):
        page.do(page.find("button").click)
        assert (page.ink != seen[-1]).any()
        seen.append(page.ink)
        milliseconds.append(page.reading[1])
    assert statistics.median(milliseconds) < 200
    assert np.median([np.ptp(each) for each in seen]) > 200  # ink on paper


@pytest.mark.parametrize("digit", range(10))
def test_the_picked_digit_is_drawn(page, digit):
    page.do(page.find(f"[value='{digit}']").click)
    assert page.reading[0] == digit
    first = page.browser.current_url
    page.do(page.find("button").click)
    assert page.reading[0] == digit and page.browser.current_url != first


def test_a_link_reopens_the_same_digit(page):
    from selenium.webdriver.common.keys import Keys

    page.do(page.find("[value='4']").click)
    straight = page.ink
    first, second, *_ = page.browser.find_elements("css selector", "[type=range]")
    for slider, key in ((first, Keys.ARROW_RIGHT), (second, Keys.END), (first, Keys.ARROW_RIGHT)):
        page.do(slider.send_keys, key)
    bent, link = page.ink, page.find("#link").get_attribute("href")
    assert (bent != straight).any()
    assert link == page.browser.current_url
    page.browser.get("about:blank")
    again = Page(page.browser, link)
    np.testing.assert_array_equal(again.ink, bent)
    assert again.find("#link").get_attribute("href") == link
    assert again.find("[value='4']").is_selected()


def test_the_back_button_reopens_the_digit_before(page):
    before, shown = page.browser.current_url, page.ink
    page.do(page.find("button").click)
    page.browser.back()
    page.wait(lambda: page.browser.current_url == before and (page.ink == shown).all())


@pytest.mark.parametrize(
    "link", ["#", "#seed=-1", "#seed=x", "#seed=7&digit=12&sliders=a,1e999,9", "#seed=99999999999"]
)
def test_a_broken_link_still_draws(browser, address, link):
    browser.get("about:blank")
    page = Page(browser, address + link)
    assert re.search(r"#seed=\d+&digit=any&sliders=[-0-9.,]+$", page.browser.current_url)


def test_the_keyboard_does_everything(page):
    from selenium.webdriver.common.keys import Keys

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
        page.press(Keys.TAB)
        assert page.browser.switch_to.active_element.accessible_name == name
        assert page.browser.execute_script(OUTLINE) == "solid"
        if key:
            page.do(page.press, key)
    assert page.browser.current_url.endswith("digit=0&sliders=-0.1,-2,2,0.1")


def test_a_phone_needs_no_sideways_scrolling(page):
    size = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        root = "document.documentElement"
        assert page.browser.execute_script(f"return {root}.scrollWidth <= {root}.clientWidth")
        assert page.browser.execute_script(f"return {root}.clientWidth") == 360
        assert page.find("canvas").size["width"] > 300
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("name", ["generator.onnx", "onnxruntime-web"])
def test_what_is_missing_is_named(browser, address, site, name):
    away = (site / name).rename(site.parent / name)
    try:
        browser.execute_cdp_cmd("Network.setCacheDisabled", {"cacheDisabled": True})
        browser.get("about:blank")
        browser.get(address)
        words = ("Cannot draw", "onnx", "make demo")
        shown = browser.find_element("id", "status")
        wait_until(browser, lambda: all(word in shown.text for word in words))
        assert not browser.find_element("css selector", "button").is_enabled()
    finally:
        away.rename(site / name)


def test_everything_comes_from_this_machine(browser, address):
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # what came before
    browser.get("about:blank")
    Page(browser, address)
    messages = [json.loads(each["message"])["message"] for each in browser.get_log("performance")]
    asked = [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]
    assert len(asked) >= 7 and all(url.startswith((address, "data:")) for url in asked)
    assert not browser.get_log("browser")
