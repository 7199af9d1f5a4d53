"""Messages between the processes of a hub, on PostgreSQL: `hub.channel` and `hub.message`."""
