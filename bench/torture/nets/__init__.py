"""Networks that the torture matrix copies into its project."""
