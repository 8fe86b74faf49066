"""Pages of live sessions."""
