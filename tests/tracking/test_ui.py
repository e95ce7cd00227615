"""MLflow's own page, of a real server, in a real browser: a build with its variants and a column to sort by."""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait
from tests.tracking.conftest import VARIANTS, Repository, Server

marks = pytest.mark
pytestmark = [marks.tracking, marks.browser, marks.toolchain, marks.xdist_group("tracking")]
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-dev-shm-usage", "--window-size=1600,900")  # fmt: skip
NAME = "browser"  # of the experiment
ACCURACY = "metrics.`accuracy`"


@pytest.fixture
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    programs = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    for name, path in programs.items():
        if path is None:
            pytest.fail(f"{name} is missing: run 'apt-get install chromium chromium-driver'")
    options = webdriver.ChromeOptions()
    options.binary_location = str(programs["chromium"])
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(programs["chromedriver"])))
    yield driver
    driver.quit()


def _all(browser: webdriver.Chrome, css: str, text: str = "") -> list[WebElement]:
    return [element for element in browser.find_elements(By.CSS_SELECTOR, css) if not text or element.text == text]


def _click(browser: webdriver.Chrome, css: str, text: str = "") -> None:
    WebDriverWait(browser, 60).until(lambda _: _all(browser, css, text))[0].click()


def _column(browser: webdriver.Chrome, name: str) -> list[str]:
    """The texts of a column, from the top row down."""
    cells = _all(browser, f'[role=gridcell][col-id="{name}"]')
    return [cell.text for cell in sorted(cells, key=lambda cell: cell.location["y"])]


def _experiment(server: Server) -> str:
    with urllib.request.urlopen(
        f"{server.uri}/api/2.0/mlflow/experiments/get-by-name?experiment_name={NAME}"
    ) as answer:
        experiment: str = json.load(answer)["experiment"]["experiment_id"]
        return experiment


def test_the_page_shows_a_models_from_variants_and_sorts_them_by_accuracy(
    copy: Repository, server: Server, browser: webdriver.Chrome, tmp_path: Path
) -> None:
    path = copy.folder / "results/measure/tiny_a/linux_x86_ort/int8_static/measurement.json"
    content = json.loads(path.read_text())
    for measurement in content["measurements"]:  # two variants that differ, whatever two epochs of training gave
        measurement["value"] = 0.875 if measurement["metric"] == "accuracy" else measurement["value"]
    path.write_text(json.dumps(content))
    Repository(copy.folder, {"MLFLOW_TRACKING_URI": server.uri, "MLFLOW_EXPERIMENT_NAME": NAME}).edgeflow("track")

    browser.get(f"{server.uri}/#/experiments/{_experiment(server)}/runs?startTime=ALL&lifecycleFilter=Active")
    _click(browser, "[data-component-id='mlflow.assistant.chat_panel.close']")
    build = WebDriverWait(browser, 60).until(lambda _: _column(browser, "attributes.`Run Name`"))
    assert len(build) == 1  # its variants are folded away
    assert "build " in build[0]
    _click(browser, "[data-testid=column-selection-dropdown]")
    for column in ("Dataset", "accuracy"):  # one that takes much room goes, the other comes
        _click(browser, "[class*=tree-title]", column)
    ActionChains(browser).send_keys(Keys.ESCAPE).perform()
    WebDriverWait(browser, 60).until(lambda _: _column(browser, ACCURACY) == ["-"])
    for descending in (True, False):
        _click(browser, "[role=columnheader] [role=columnheader]", "accuracy")
        WebDriverWait(browser, 60).until(lambda _, order=descending: _sorted(browser, order))
    shown = {name.splitlines()[-1] for name in _column(browser, "attributes.`Run Name`")}
    assert shown > VARIANTS
    browser.save_screenshot(str(tmp_path / "mlflow.png"))


def _sorted(browser: webdriver.Chrome, descending: bool) -> bool:
    values = [float(text) for text in _column(browser, ACCURACY) if text not in ("", "-")]
    return len(values) == 2 and (values[0] > values[1]) == descending and 0.875 in values
