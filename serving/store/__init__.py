"""The store: users, panels, policies, flags with their history, receipts and the audit trail of every look."""
