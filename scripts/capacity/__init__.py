"""How much a deployment can take: a queueing simulation of both tiers, fed with measured work per image."""
