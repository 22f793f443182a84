"""Which requests get a place, and for how long; nothing here looks into a picture or knows an API."""
