"""HTTP as API Gateway speaks it (payload version 2.0): routes, checks, the one error shape. Knows no AWS client."""
