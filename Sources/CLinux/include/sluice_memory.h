#ifndef SLUICE_MEMORY_H
#define SLUICE_MEMORY_H

/// Asks for the cache line at an address, which need not be mapped: a hint that never fails.
static inline void sluice_prefetch(const void *address) { __builtin_prefetch(address); }

#endif
