"""Tells people: claims deliveries from the outbox and sends them."""
