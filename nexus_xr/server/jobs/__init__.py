"""What is asked of a worker process: small frozen requests, each of which gives its answer."""
