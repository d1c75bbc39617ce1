"""Units of memory and of transfers, in bytes."""

KIB = 1024
MIB = 1024 * KIB
