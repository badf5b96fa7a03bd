"""Suites and simulators for people who write adapters, stores and providers."""
