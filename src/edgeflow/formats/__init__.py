"""Kinds of files that models come in: what they are recognised by, what they say of themselves, what runs them."""
