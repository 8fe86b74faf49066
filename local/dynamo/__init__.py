"""DynamoDB in memory: the local stack's store, and the one that most tests use."""
