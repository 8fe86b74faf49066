"""The local stack and its engines: for a developer's machine and the tests, never deployed."""
