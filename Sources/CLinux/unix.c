#define _GNU_SOURCE
#include "sluice_unix.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int32_t new_socket(const char *path, struct sockaddr_un *address) {
  *address = (struct sockaddr_un){.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address->sun_path) return -ENAMETOOLONG;
  strcpy(address->sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  return fd < 0 ? -errno : fd;
}

int32_t sluice_unix_connect(const char *path) {
  struct sockaddr_un address;
  int32_t fd = new_socket(path, &address);
  if (fd < 0 || !connect(fd, (void *)&address, sizeof address)) return fd;
  int error = errno;
  close(fd);
  return -error;
}

int32_t sluice_unix_listen(const char *path, uint32_t mode, uint32_t uid, uint32_t gid) {
  struct stat status;
  if (!lstat(path, &status)) {
    if (!S_ISSOCK(status.st_mode)) return -EEXIST;
    int32_t other = sluice_unix_connect(path);
    // EAGAIN: somebody listens and has no room in its queue.
    if (other >= 0) close(other);
    if (other >= 0 || other == -EAGAIN) return -EADDRINUSE;
    if (unlink(path) && errno != ENOENT) return -errno;
  }
  struct sockaddr_un address;
  int32_t fd = new_socket(path, &address);
  if (fd < 0) return fd;
  // Nobody can connect before it listens, so nobody can by the mode that it was made with.
  if (bind(fd, (void *)&address, sizeof address) || chmod(path, mode) ||
      ((uid != UINT32_MAX || gid != UINT32_MAX) && lchown(path, uid, gid)) || listen(fd, 64)) {
    int error = errno;
    close(fd);
    return -error;
  }
  return fd;
}

int32_t sluice_unix_notify(const char *path, const char *text) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  size_t length = strlen(path);
  if (length == 0 || length >= sizeof address.sun_path) return -EINVAL;
  memcpy(address.sun_path, path, length);
  if (path[0] == '@') address.sun_path[0] = 0;
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
  ssize_t sent = sendto(fd, text, strlen(text), MSG_NOSIGNAL, (void *)&address, size);
  int error = sent < 0 ? errno : 0;
  close(fd);
  return -error;
}
