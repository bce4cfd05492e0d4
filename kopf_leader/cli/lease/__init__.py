"""What the commands for people share: the way to the Lease, watching it, asking for something, printing."""
