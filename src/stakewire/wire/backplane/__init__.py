"""What the processes of one hub tell each other over a backplane: envelopes, and the numbers around them."""
