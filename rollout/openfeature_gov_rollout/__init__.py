"""Staged rollout of an agent's authority. This release holds the package's place only."""
