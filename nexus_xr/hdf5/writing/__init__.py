"""Writing datasets: files that are complete or not there, chunks encoded side by side, parts and copies."""
