"""FeatBit's management API: read and change flags, segments and audit logs."""
