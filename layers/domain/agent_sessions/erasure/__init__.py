"""What removes content for good: the end of a session that was talked in."""
