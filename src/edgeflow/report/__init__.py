"""The report: what to ship per target, the whole matrix, and every figure behind it."""
