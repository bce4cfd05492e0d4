"""Measurements on a real kube-apiserver and etcd: `python -m bench`; see README.md."""
