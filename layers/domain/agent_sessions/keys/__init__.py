"""API keys, and the function that lets callers in."""
