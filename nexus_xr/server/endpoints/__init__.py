"""What the service answers: each endpoint with its parameters, from which requests are read and OpenAPI is written."""
