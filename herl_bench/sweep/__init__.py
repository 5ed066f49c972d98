"""Many runs, here or on a cluster: which there are, and who runs them."""
