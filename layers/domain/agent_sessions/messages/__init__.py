"""What is said in a session: numbered messages, written once, read in order."""
