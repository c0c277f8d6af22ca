"""Background jobs: one runner, and one module per kind of job."""
