"""Projects that are written for someone: `edgeflow init`, `edgeflow try` and `edgeflow add model`.

A project is configuration: the workflow, its rules and the locks of toolchains come from the installed package. What is
written here is what a person would have written, with the comments that they would want, and is theirs from then on.
"""
