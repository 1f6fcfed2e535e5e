#ifndef SLUICE_UNIX_H
#define SLUICE_UNIX_H

#include <stdint.h>

/// Listens on a Unix socket with this mode and owner (UINT32_MAX: stays). A socket that nobody answers on is replaced.
/// The descriptor, close-on-exec; -EADDRINUSE when somebody answers there, -EEXIST when another file is there.
int32_t sluice_unix_listen(const char *path, uint32_t mode, uint32_t uid, uint32_t gid);

/// What SO_PEERCRED gives: `struct ucred`, which is hidden without _GNU_SOURCE.
struct sluice_credentials {
  int32_t pid;
  uint32_t uid;
  uint32_t gid;
};

/// Connects to a Unix socket; the descriptor, close-on-exec, or -errno.
int32_t sluice_unix_connect(const char *path);

/// Sends a datagram to a Unix socket, whose name begins with @ where it is an abstract one; 0 or -errno.
int32_t sluice_unix_notify(const char *path, const char *text);

#endif
