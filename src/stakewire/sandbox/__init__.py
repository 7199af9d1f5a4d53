"""Everything at once, for trying out: the demo platform and `stakewire up`."""
