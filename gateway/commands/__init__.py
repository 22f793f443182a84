"""The command line `vultus`: one subcommand a file, which is imported when it is called."""
