"""SignalR (ASP.NET Core) without sockets: negotiate, handshake, messages, protocols, stateful reconnect."""
