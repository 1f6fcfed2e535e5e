#ifndef SLUICE_MEMORY_H
#define SLUICE_MEMORY_H

/// Asks for the cache line at an address, which need not be mapped: a hint that never fails.
static inline void sluice_prefetch(const void *address) { __builtin_prefetch(address); }

/// Takes what is only read of the executable and its libraries, code above all, out of this process's page tables: what is used
/// later is mapped again from the kernel's cache of the files, what only a start needs is not. Nothing that was written is touched.
void sluice_unmap_code(void);

#endif
