"""Workers that wait for small runs: one pool's jobs, workers, orders, and what people see of it."""
