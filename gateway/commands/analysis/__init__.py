"""Parts of `vultus analyze`."""
