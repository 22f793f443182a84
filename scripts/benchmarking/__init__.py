"""How fast: the same pictures through a plain loop, through Triton and through the gateway, in one run."""
