"""The stages, in the order in which a model passes them; each module has `Spec`, `Inputs`, `Outputs` and `run`."""

STAGES = (
    *("prepare", "train", "source", "convert", "sensitivity", "optimize", "compile", "measure", "judge", "package"),
    "report",
)
