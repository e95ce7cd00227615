"""Kinds of model files that people bring: what they take and give, read without executing any of it."""
