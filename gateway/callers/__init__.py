"""Who may call; nothing here knows an API or a picture."""
