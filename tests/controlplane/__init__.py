"""A real etcd and kube-apiserver for the rings of tests that must not be run on a fake."""
