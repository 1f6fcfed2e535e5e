#ifndef SLUICE_SIGNALS_H
#define SLUICE_SIGNALS_H

/// Blocks SIGTERM, SIGINT and SIGHUP for this thread and all that it starts, ignores SIGPIPE, and returns a
/// non-blocking descriptor that becomes readable when one of them came; or a negative errno.
int sluice_signals_new(void);

/// Takes one signal: its number, or 0 when none waits.
int sluice_signals_take(int fd);

#endif
