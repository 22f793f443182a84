"""Checks of this machine, of the files and of a running service, for `vultus doctor`."""
