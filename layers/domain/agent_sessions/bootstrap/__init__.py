"""The composition root: the only place that reads the environment and makes clients; late, and once per process."""
