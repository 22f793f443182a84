"""The subcommands of `vultus`, one a file."""
