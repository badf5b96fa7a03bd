"""Staged rollout of an agent's authority: on proof upwards, by itself downwards."""
