"""The ground floor: where files are, what the C library keeps, what JAX compiled."""
