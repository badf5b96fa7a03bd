"""The verifier that stands alone: one file for an auditor to read, copy and run."""
