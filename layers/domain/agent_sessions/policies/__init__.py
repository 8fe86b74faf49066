"""What sessions an agent may have: the policies that a tenant gives its agents."""
