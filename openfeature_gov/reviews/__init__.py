"""Reviews: a person looks at what ran at once, or it is undone."""
