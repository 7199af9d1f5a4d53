"""What is said on the wire, both ends: pure functions over bytes, without sockets, clocks or storage."""
