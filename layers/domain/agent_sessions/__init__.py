"""Sessions of agents: the rules, the store and the API that the functions share."""
