"""Artifacts in DVC, metrics in MLflow. Both hold copies of what the results say, and can be made from them again."""
