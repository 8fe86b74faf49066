"""What every adapter to AWS shares: tuned clients, and AWS's failures translated."""
