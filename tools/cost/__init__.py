"""How the service scales and what it costs: an estimate from list prices, to be run anew with your own numbers."""
