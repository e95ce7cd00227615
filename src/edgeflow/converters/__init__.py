"""Edges between formats: how a model of a framework, or a file, becomes a file of another format."""
