"""The `stakewire` command: reads the settings once, builds the objects, runs."""
