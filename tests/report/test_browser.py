"""The report as a browser shows it: what is drawn, what a hover says, what is requested, what fits."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver import ActionChains
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait
from synthetic import MATRIX, TARGETS, WITH_FAILURE, Case, build, build_hostile

from edgeflow.stages import report
from edgeflow.stages.report import Outputs
from edgeflow.types.jobs import Failure
from edgeflow.types.verdicts import Release

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]  # one browser for all
FRONT = "rgb(59, 91, 140)"
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip


def _program(name: str) -> str:
    program = shutil.which(name)
    if program is None:
        pytest.fail(f"{name} is missing: these tests need a browser; run 'apt-get install chromium chromium-driver'")
    return program


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = _program("chromium")
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(_program("chromedriver")))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    spec, inputs, outputs = build(tmp_path_factory.mktemp("report"), WITH_FAILURE)
    report.run(spec, inputs, outputs)
    return outputs


def _open(browser: webdriver.Chrome, html: Path, width: int = 1280, height: int = 900) -> None:
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get("about:blank")
    for log in ("browser", "performance"):
        browser.get_log(log)  # forget what an earlier page did
    browser.get(html.as_uri())
    _wait_for_charts(browser)


def _wait_for_charts(browser: webdriver.Chrome) -> None:
    """Until every chart in sight is drawn and every point has its label."""
    ready = """
      return [...document.querySelectorAll('.panel:not([hidden]) .chart')].every(chart =>
        chart.querySelector('.scatterlayer') && (!chart.classList.contains('scatter') ||
        chart.querySelectorAll('.annotation').length === chart.layout.meta.labels.length));"""
    WebDriverWait(browser, 60).until(lambda driver: driver.execute_script(ready))


def _show(browser: webdriver.Chrome, html: Path, width: int) -> None:
    """Open the report, unless it is open: loading its five megabytes once is enough for most tests."""
    if browser.current_url.partition("#")[0] != html.as_uri() or browser.execute_script("return innerWidth") != width:
        _open(browser, html, width)


@pytest.fixture(scope="module", params=[1280, 768, 400])
def width(request: pytest.FixtureRequest) -> int:
    """CSS pixels: a desktop, a tablet, a phone. Of the module, so that pytest groups the tests by it."""
    return int(request.param)


@pytest.fixture
def page(browser: webdriver.Chrome, made: Outputs) -> webdriver.Chrome:
    """The report as if just opened."""
    _show(browser, made.html, 1280)
    browser.execute_script(
        """location.hash = '';
           document.activeElement.blur();
           document.querySelectorAll('details').forEach(details => { details.open = false; });
           document.getElementById('tip').hidden = true;
           document.querySelector('.picker input').click();"""
    )
    _centre(browser, browser.find_element(By.TAG_NAME, "h1"))
    _wait_for_charts(browser)
    return browser


def _all(page: webdriver.Chrome, selector: str) -> list[WebElement]:
    return page.find_elements(By.CSS_SELECTOR, selector)


def _pick(page: webdriver.Chrome, target: int, picker: str = "tradeoffs") -> None:
    page.find_element(By.CSS_SELECTOR, f"[name=picker-{picker}][value='{target}'] + span").click()
    _wait_for_charts(page)


def _centre(page: webdriver.Chrome, element: WebElement) -> None:
    """Scroll, and wait until the page has heard of it."""
    page.execute_async_script(
        """arguments[0].scrollIntoView({block: 'center'});
           requestAnimationFrame(() => requestAnimationFrame(arguments[1]));""",
        element,
    )


def _hover(page: webdriver.Chrome, element: WebElement) -> str:
    """Move the mouse onto an element; the text of the box that shows then.

    By coordinates: `move_to_element` would scroll a point of a chart to the edge of the window.
    """
    _centre(page, element)
    where = "const b = arguments[0].getBoundingClientRect(); return [(b.left + b.right) / 2, (b.top + b.bottom) / 2];"
    x, y = (round(position) for position in page.execute_script(where, element))
    actions = ActionBuilder(page)
    for aside in (40, 2, 0):
        actions.pointer_action.move_to_location(x - aside, y)
    actions.perform()
    return _tip(page)


def _tip(page: webdriver.Chrome) -> str:
    """The text of the box that a hover shows, once it is shown."""
    box = page.find_element(By.ID, "tip")
    WebDriverWait(page, 20).until(lambda _: box.is_displayed())
    return box.text


def test_decisions_come_first_and_say_why(page: webdriver.Chrome) -> None:
    assert page.find_element(By.CSS_SELECTOR, "main section").get_attribute("id") == "ship"
    decisions = [element.text for element in _all(page, ".decision")]
    assert len(decisions) == 10
    for words in ("ship int8_static", "99.11 %", "98.25 – 99.55 %", "at most 0.76 points", "132 µs", "98 KiB",
                  "1.78 MiB", "device", "The fastest of 2 released schemes", "1.76× as fast as fp32"):  # fmt: skip
        assert words in decisions[1]
    assert "nothing ships" in decisions[4]
    assert "4 held, 1 rejected" in decisions[4]
    assert "not measured" in decisions[6]
    assert "estimate" in decisions[8]


@pytest.mark.parametrize("target", range(len(TARGETS)))
def test_every_measured_variant_is_a_point(page: webdriver.Chrome, target: int) -> None:
    _pick(page, target)
    cases = [c for key, c in MATRIX.items() if key[1] == TARGETS[target].id and isinstance(c, Case)]
    expected = len(cases) + sum(case.p50_s is not None for case in cases)
    points = page.execute_script(
        """return [...document.querySelectorAll('.panel:not([hidden]) .scatter .scatterlayer .point')]
             .map(point => [getComputedStyle(point).stroke, point.getAttribute('d')]);"""
    )
    assert len([stroke for stroke, _ in points if stroke != FRONT]) == expected
    assert len([stroke for stroke, _ in points if stroke == FRONT]) >= len({c.release for c in cases} & {"released"})


def test_rejected_and_held_points_differ_in_shape_and_colour(page: webdriver.Chrome) -> None:
    marks = page.execute_script(
        """const seen = {};
           for (const chart of document.querySelectorAll('.panel:not([hidden]) .scatter'))
             chart.querySelectorAll('.scatterlayer .trace').forEach((trace, i) => {
               const point = trace.querySelector('.point');
               if (point) seen[chart.data[i].name] = [point.getAttribute('d'), getComputedStyle(point).stroke];
             });
           return seen;"""
    )
    looks = [tuple(marks[name]) for name in ("released", "held", "rejected")]
    assert len({shape for shape, _ in looks}) == len({colour for _, colour in looks}) == 3


def test_the_pareto_front_is_drawn_without_rejected_points(page: webdriver.Chrome) -> None:
    _pick(page, 1)
    xs = page.execute_script("return document.getElementById('t1-m1-latency_p50_s').data[0].x")
    assert xs == [78.4e-6, 100e-6, 251e-6]  # int8_static, int8_dynamic, fp16; int16x8 is rejected, fp32 is beaten
    assert _all(page, "#t1-m1-latency_p50_s .scatterlayer .js-line")


def test_heat_map_has_a_cell_per_plan_cell(page: webdriver.Chrome) -> None:
    cells = _all(page, ".heat td.cell")
    assert len(cells) == len(WITH_FAILURE) == 50
    counts = [len(_all(page, f".heat td.cell-{release}")) for release in Release]
    assert sum(counts) == 50
    assert min(counts) > 0
    assert all(cell.text.strip() for cell in cells)


def test_hovering_a_cell_shows_its_reasons_and_figures(page: webdriver.Chrome) -> None:
    cell = page.find_element(By.CSS_SELECTOR, ".heat td.cell-rejected a")
    text = _hover(page, cell)
    assert "slower than fp32 on the same target" in text
    assert "429 µs" in text
    assert "rejected" in text
    ActionChains(page).move_to_element(page.find_element(By.ID, "matrix-title")).perform()
    WebDriverWait(page, 20).until(lambda _: not page.find_element(By.ID, "tip").is_displayed())


def test_a_cell_works_with_the_keyboard_alone(page: webdriver.Chrome) -> None:
    cell = page.find_element(By.CSS_SELECTOR, ".heat td.cell-infeasible a")
    page.execute_script("arguments[0].focus()", cell)
    assert "the Ethos-U55 computes in int8 and int16 only" in _tip(page)
    cell.send_keys(Keys.ESCAPE)
    assert not page.find_element(By.ID, "tip").is_displayed()
    cell.send_keys(Keys.ENTER)
    WebDriverWait(page, 20).until(lambda _: _all(page, "details.variant[open]"))
    opened = [details for details in _all(page, "details.variant") if details.get_attribute("open")]
    assert len(opened) == 1
    assert opened[0].get_attribute("id") == str(cell.get_attribute("href")).rpartition("#")[2]


def test_hovering_a_point_shows_all_its_figures(page: webdriver.Chrome) -> None:
    chart = page.find_element(By.ID, "t0-m0-latency_p50_s")
    text = _hover(page, chart.find_elements(By.CSS_SELECTOR, ".scatterlayer .point")[-1])
    for words in ("int8_dynamic", "98.78 %", "97.82 – 99.32 %", "429 µs", "61 KiB", "1.33 MiB", "device"):
        assert words in text


def test_all_reasons_stand_in_the_page_as_text(page: webdriver.Chrome) -> None:
    text = page.execute_script("return document.querySelector('.all-reasons').textContent")
    for outcome in WITH_FAILURE.values():
        if isinstance(outcome, Failure):
            assert f"{outcome.sentence} (log: {outcome.log})" in text
            continue
        for reason in (outcome,) if isinstance(outcome, str) else getattr(outcome, "reasons", outcome):
            assert reason in text


def test_both_pickers_move_together_and_charts_follow(page: webdriver.Chrome) -> None:
    _pick(page, 3, "ladder")
    shown = {panel.get_attribute("data-target") for panel in _all(page, ".panel") if panel.is_displayed()}
    assert shown == {"3"}
    assert [e.get_attribute("value") for e in _all(page, ".picker input:checked")] == ["3", "3"]
    assert "Latency p50 not measured: fp32, int8_static, int16x8." in page.find_element(By.ID, "tradeoffs").text


def test_the_ladder_shows_where_accuracy_was_lost(page: webdriver.Chrome) -> None:
    _pick(page, 1, "ladder")
    rows = [row.text for row in _all(page, "#ladder .rungs tbody tr") if row.is_displayed()]
    lost = next(row for row in rows if row.startswith("int16x8") and "81" in row)
    assert "−17.91" in lost
    drawn = page.execute_script("return document.getElementById('t1-m1-ladder').data.map(t => [t.name, t.y.length])")
    assert drawn == [[scheme, 4] for scheme in ("fp32", "fp16", "int8_dynamic", "int8_static", "int16x8")]


def test_details_hold_every_check_measurement_rung_and_operator(page: webdriver.Chrome) -> None:
    page.execute_script("location.hash = 'v3'")
    details = page.find_element(By.ID, "v3")
    WebDriverWait(page, 20).until(lambda _: details.get_attribute("open"))
    for words in ("≤ 1.00 points", "12,000", "90 %, order statistics", "interleaved with fp32 in one run", "build-host",
                  "high-water mark of the process", "ai-edge-litert 2.3.0", "load average 0.4, threads 1",
                  "torch 2.13.0", "4 × CONV_2D on CPUExecutionProvider",
                  "int8[1, 10] scale 0.0039, zero point -128"):  # fmt: skip
        assert words in details.text


def _boxes(page: webdriver.Chrome) -> list[list[dict[str, Any]]]:
    """Per chart in sight: the boxes of its labels and ticks, and of the chart itself (last)."""
    boxes: list[list[dict[str, Any]]] = page.execute_script(
        """return [...document.querySelectorAll('.panel:not([hidden]) .chart')].map(chart =>
             [...chart.querySelectorAll('.annotation-text, .xtick text, .ytick text, .xtitle'), chart].map(text => {
               const b = text.getBoundingClientRect();
               return {text: text.textContent, left: b.left, right: b.right, top: b.top, bottom: b.bottom};
             }).filter(box => box.right > box.left));  // plotly leaves out a tick's text that has no room"""
    )
    return boxes


def test_no_text_of_a_chart_overlaps_another_or_leaves_the_chart(
    browser: webdriver.Chrome, made: Outputs, width: int
) -> None:
    _show(browser, made.html, width)
    for target in range(len(TARGETS)):
        _pick(browser, target)
        for *texts, chart in _boxes(browser):
            for i, one in enumerate(texts):
                assert one["left"] >= chart["left"] - 1, one
                assert one["right"] <= chart["right"] + 1, one
                for other in texts[:i]:
                    wide = min(one["right"], other["right"]) - max(one["left"], other["left"])
                    high = min(one["bottom"], other["bottom"]) - max(one["top"], other["top"])
                    assert min(wide, high) <= 1, (TARGETS[target].id, one["text"], other["text"])


def test_labels_move_when_the_window_gets_narrower(page: webdriver.Chrome, made: Outputs) -> None:
    narrow = {"width": 400, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", narrow)
    fits = """return [...document.querySelectorAll('.panel:not([hidden]) .main-svg')]
                .every(svg => svg.getBoundingClientRect().right <= 400);"""
    WebDriverWait(page, 30).until(lambda driver: driver.execute_script(fits))
    assert page.execute_script("return document.documentElement.scrollWidth") <= 400


def test_the_page_never_scrolls_sideways(browser: webdriver.Chrome, made: Outputs, width: int) -> None:
    _show(browser, made.html, width)
    browser.execute_script("document.querySelectorAll('details').forEach(details => { details.open = true; })")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def _requests(browser: webdriver.Chrome) -> list[str]:
    messages = (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
    return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]


def test_nothing_is_requested_and_nothing_is_complained_about(browser: webdriver.Chrome, made: Outputs) -> None:
    _open(browser, made.html)
    for target in range(len(TARGETS)):
        _pick(browser, target)
    browser.execute_script("dispatchEvent(new Event('beforeprint')); dispatchEvent(new Event('afterprint'))")
    assert set(_requests(browser)) == {made.html.as_uri()}
    assert browser.get_log("browser") == []


def test_paper_gets_the_charts_of_all_targets(page: webdriver.Chrome) -> None:
    page.execute_script("dispatchEvent(new Event('beforeprint'))")
    drawn: Callable[[Any], bool] = lambda _: all(  # noqa: E731
        chart.find_elements(By.CSS_SELECTOR, ".main-svg") for chart in _all(page, ".chart")
    )
    WebDriverWait(page, 60).until(drawn)
    assert all(panel.is_displayed() for panel in _all(page, ".panel"))
    page.execute_script("dispatchEvent(new Event('afterprint'))")
    assert {p.get_attribute("data-target") for p in _all(page, ".panel") if p.is_displayed()} == {"0"}


def test_hostile_names_do_not_run(browser: webdriver.Chrome, tmp_path: Path) -> None:
    spec, inputs, outputs = build_hostile(tmp_path)
    report.run(spec, inputs, outputs)
    _open(browser, outputs.html)
    cell = browser.find_element(By.CSS_SELECTOR, ".heat td.cell-rejected a")
    browser.execute_script("arguments[0].focus()", cell)
    assert spec.title in _tip(browser)
    assert browser.execute_script("return window.pwned") is None
    assert browser.execute_script("return document.images.length") == 0
    assert set(_requests(browser)) == {outputs.html.as_uri()}
