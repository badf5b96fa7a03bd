"""What is kept of a decision: records, and their projection on telemetry."""
