"""Who acts: tokens of an issuer, keys of agents, and what each may pass on."""
