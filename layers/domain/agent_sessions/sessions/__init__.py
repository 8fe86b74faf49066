"""One session: what it is, its time arithmetic, its use cases, and how it lies in DynamoDB."""
