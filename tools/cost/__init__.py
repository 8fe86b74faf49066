"""How the service scales and what it costs: the tables and the plot of docs/operations.md.

Arithmetic with the prices of `prices`, the assumptions of `workload` and the units that DynamoDB counts: nobody's bill.
Change them to your own and run `python -m tools.cost`.
"""
