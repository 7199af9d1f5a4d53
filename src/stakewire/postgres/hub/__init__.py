"""The schema of hubs that run in several processes."""
