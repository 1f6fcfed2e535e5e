#ifndef SLUICE_CLOCK_H
#define SLUICE_CLOCK_H

#include <stdint.h>

/// Whether the kernel takes the wall clock for synchronised (adjtimex(2)): 1, 0, or -errno.
int32_t sluice_clock_is_synchronised(void);

#endif
