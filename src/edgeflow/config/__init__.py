"""The configuration: one YAML file a thing, held against pydantic models and against the plugins, all at once."""

from edgeflow.config.load import find_problems, load, plugin_files, read_matrix
from edgeflow.config.project import Project
from edgeflow.config.schema import schemas

__all__ = ["Project", "find_problems", "load", "plugin_files", "read_matrix", "schemas"]
