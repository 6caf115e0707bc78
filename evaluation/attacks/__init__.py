"""What attackers do to an event so that a filter misreads it, and what each evasion costs them."""
