"""The nouns as frozen dataclasses: what stages, plugins, judge and report pass to each other.

Standard library only. Units are canonical (second, byte, ratio, hertz) and stand in every numeric name.
`plain.to_json` and `plain.from_json` turn any of these into plain JSON values and back; unknown keys are an error.

One module a family: a stage depends on those alone that it imports.
"""
