#ifndef SLUICE_IDLE_H
#define SLUICE_IDLE_H

#include <stdint.h>

/// From now on the calling thread gets only what processors and disks have left over (SCHED_IDLE, IOPRIO_CLASS_IDLE), as
/// far as the kernel lets it.
void sluice_thread_be_idle(void);

/// Octets that the file system of `fd` has left for every user; -1 when that is not known.
int64_t sluice_octets_left(int fd);

/// Gives `to` the owner, mode and times of `from`. Returns 0 or an errno.
int sluice_copy_attributes(int from, int to);

#endif
