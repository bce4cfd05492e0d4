"""What the demo runs: an operator as anybody would write it. It is given to `kopf-leader run` as a file."""
