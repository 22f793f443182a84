"""What `vultus analyze` is made of."""
