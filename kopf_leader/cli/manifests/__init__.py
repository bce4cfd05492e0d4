"""What `kopf-leader manifest` prints: objects as YAML with the reasons beside them."""
