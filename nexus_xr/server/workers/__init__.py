"""Processes that read and decode for the service, one request at a time each, and are replaced when they end."""
