"""The rooms of `kopf-leader demo`: what happens when (scenario), on what (cluster, replicas), seen how (picture)."""
