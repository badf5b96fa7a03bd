"""Approvals: a person decides on exactly what will run, once. The rules are pure."""
