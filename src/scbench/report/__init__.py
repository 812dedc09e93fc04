"""A finished sweep for its readers: the figure, the HTML page, MLflow."""
