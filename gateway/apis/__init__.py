"""What callers see over HTTP: each API parses, analyzes and renders, and imports no other API."""
