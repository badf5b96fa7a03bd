"""What a call takes before it runs: a place in each rate, a part of each budget."""
