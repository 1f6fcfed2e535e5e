#ifndef SLUICE_SIGNALS_H
#define SLUICE_SIGNALS_H

/// Blocks SIGTERM, SIGINT and SIGHUP for this thread and all that it starts, ignores SIGPIPE, and returns a
/// non-blocking descriptor that becomes readable when one of them came; or a negative errno.
int sluice_signals_new(void);

/// Takes one signal: its number, or 0 when none waits.
int sluice_signals_take(int fd);

/// Becomes `uid` and `gid` for good, with no other group. Returns 0 or an errno.
int sluice_become(unsigned uid, unsigned gid);

/// Looks an account up. Returns 0, ENOENT when there is none, or another errno.
int sluice_find_user(const char *name, unsigned *uid, unsigned *gid);

#endif
