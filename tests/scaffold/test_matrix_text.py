"""A matrix gets one more item, and not a character of what was there changes."""

from __future__ import annotations

import pytest
import yaml

from edgeflow.errors import ConfigError
from edgeflow.scaffold.matrix_text import with_item

BLOCK = """\
# what we ship
models: # in order of age
  - kws   # since March
  - "vww"

# boards
targets:
  - board
baseline: fp32
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (BLOCK, BLOCK.replace('  - "vww"\n', '  - "vww"\n  - ic\n')),
        ("models:\n- a\n- b", "models:\n- a\n- b\n- ic\n"),
        ("models: [a, b]\nseed: 0\n", "models: [a, b, ic]\nseed: 0\n"),
        ("models: []\n", "models: [ic]\n"),
        ("models: [a, # first\n  b, # second\n]\n", "models: [a, # first\n  b, ic, # second\n]\n"),
        ("{models: [a], seed: 0}", "{models: [a, ic], seed: 0}"),
        ("models:\n  - a\n  - ic\n", "models:\n  - a\n  - ic\n"),
        ("targets:\n  - models\nmodels:\n  - ä\n", "targets:\n  - models\nmodels:\n  - ä\n  - ic\n"),
    ],
)
def test_an_item_is_added_in_the_style_of_the_list(text: str, expected: str) -> None:
    after = with_item(text, "models", "ic")
    assert after == expected
    before = yaml.safe_load(text)["models"]
    assert yaml.safe_load(after)["models"] == [*before, *([] if "ic" in before else ["ic"])]


@pytest.mark.parametrize("text", ["seed: 0\n", "models: all\n", "- models\n", "", "models:\n  a: 1\n"])
def test_what_is_no_list_is_left_to_its_writer(text: str) -> None:
    with pytest.raises(ConfigError, match=r"config/config.yaml: models: expected a list that ic can be added to"):
        with_item(text, "models", "ic")
