"""The sportsbook over HTTP: the clients' API, the page and its API, and their description."""
