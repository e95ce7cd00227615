"""Changes to config/config.yaml as text, so that comments, order and style stay as their writer left them."""

from __future__ import annotations

import yaml

from edgeflow.config.problem import MATRIX
from edgeflow.errors import ConfigError


def with_item(text: str, key: str, item: str) -> str:
    """A YAML mapping with one more item in the list below a key; as it was, when the item is there already.

    Raises ConfigError where the key holds no list.
    """
    root = yaml.compose(text)
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    found = next((value for name, value in pairs if name.value == key), None)
    if not isinstance(found, yaml.SequenceNode):
        raise ConfigError([f"{MATRIX}: {key}: expected a list that {item} can be added to; add it by hand"])
    if any(isinstance(node, yaml.ScalarNode) and node.value == item for node in found.value):
        return text
    if found.flow_style:
        at = found.value[-1].end_mark.index if found.value else found.start_mark.index + 1
        return f"{text[:at]}{', ' if found.value else ''}{item}{text[at:]}"
    lines = text.splitlines(keepends=True)
    last = found.value[-1].start_mark.line
    if not lines[last].endswith("\n"):
        lines[last] += "\n"
    return "".join([*lines[: last + 1], f"{' ' * found.start_mark.column}- {item}\n", *lines[last + 1 :]])
