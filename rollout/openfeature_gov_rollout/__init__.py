"""Staged rollout of an agent's authority. This release only holds the name."""
