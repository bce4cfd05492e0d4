"""How each fault is injected. Each function does it, waits for what must follow, and takes it back."""
