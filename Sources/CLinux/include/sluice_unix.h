#ifndef SLUICE_UNIX_H
#define SLUICE_UNIX_H

#include <stdint.h>

/// Opens a folder (O_PATH). Where root does it, no symbolic link is followed but root's own with one name: in a folder
/// of another user that one could lead anywhere. With `mode` the last part is made where it is missing, and `made` tells
/// so; -1 makes none. The descriptor, close-on-exec; -ELOOP for such a link, or another negative errno.
int32_t sluice_open_folder(const char *path, int32_t mode, int32_t *made);

/// Listens on a Unix socket in a folder with this mode and owner (UINT32_MAX: stays). A socket on which no process
/// answers is replaced. The descriptor, close-on-exec; -EADDRINUSE when a process answers there, -EEXIST when another
/// file is there.
int32_t sluice_unix_listen(int32_t folder, const char *name, uint32_t mode, uint32_t uid, uint32_t gid);

/// What SO_PEERCRED gives: `struct ucred`, which is hidden without _GNU_SOURCE.
struct sluice_credentials {
  int32_t pid;
  uint32_t uid;
  uint32_t gid;
};

/// Connects to a Unix socket; the descriptor, close-on-exec, or -errno.
int32_t sluice_unix_connect(const char *path);

/// A Unix socket for datagrams; the descriptor, close-on-exec, or -errno.
int32_t sluice_unix_datagrams(void);

/// Sends a datagram by it to another, whose name begins with @ where it is an abstract one; 0 or -errno.
int32_t sluice_unix_notify(int32_t fd, const char *path, const char *text);

#endif
