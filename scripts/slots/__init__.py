"""Models made elsewhere in the places of ours: adapters, the composed repository, `vultus models`. See docs/pages/better-models.md."""
