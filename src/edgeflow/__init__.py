"""edgeflow: models × targets × schemes, from training to a package per device, as a declarative build."""

__version__ = "0.1.0"
