"""Proximal policy optimisation: answers are made, rewarded, and learned from in small steps."""
