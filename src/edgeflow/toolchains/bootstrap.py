"""Run `edgeflow` in an environment where it is not installed: from its own source, and nothing else beside it."""

import importlib.util
import sys
from pathlib import Path


def load_edgeflow() -> None:
    """Make the package importable, with what a warm worker has imported of it already."""
    if "edgeflow" in sys.modules:
        return
    package = Path(__file__).parent.parent
    spec = importlib.util.spec_from_file_location(
        "edgeflow", package / "__init__.py", submodule_search_locations=[str(package)]
    )
    if spec is None or spec.loader is None:
        sys.exit(f"{package}: cannot load edgeflow")
    module = importlib.util.module_from_spec(spec)
    sys.modules["edgeflow"] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    load_edgeflow()
    from edgeflow.stages.command import main

    sys.exit(main(sys.argv[1:]))
