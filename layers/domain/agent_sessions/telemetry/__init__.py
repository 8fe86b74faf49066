"""What the functions report: log lines and metrics."""
