"""Who is who: consultants, clients, their numbers."""
