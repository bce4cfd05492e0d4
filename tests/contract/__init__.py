"""One set of tests, run on the embedded API server and on kube-apiserver: where they differ, the real one is right."""
