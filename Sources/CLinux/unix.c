#define _GNU_SOURCE
#include "sluice_unix.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
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

int32_t sluice_open_folder(const char *path, int32_t mode, int32_t *made) {
  enum { links_at_most = 32 };
  char rest[PATH_MAX], name[NAME_MAX + 1];
  int links = 0, is_root = geteuid() == 0;
  if (made) *made = 0;
  if (strlen(path) >= sizeof rest) return -ENAMETOOLONG;
  strcpy(rest, path);
  int folder = open(rest[0] == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
  char *next = rest;
  while (folder >= 0) {
    next += strspn(next, "/");
    size_t length = strcspn(next, "/");
    if (length == 0) return folder;
    if (length > NAME_MAX) return close(folder), -ENAMETOOLONG;
    memcpy(name, next, length);
    name[length] = 0;
    next += length;
    int is_last = next[strspn(next, "/")] == 0;
    if (is_last && mode >= 0) {
      if (mkdirat(folder, name, (mode_t)mode) == 0) {
        if (made) *made = 1;
      } else if (errno != EEXIST) {
        int error = errno;
        return close(folder), -error;
      }
    }
    int below = openat(folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat status;
    if (below < 0 || fstat(below, &status) != 0) {
      int error = errno;
      if (below >= 0) close(below);
      return close(folder), -error;
    }
    if (!S_ISLNK(status.st_mode)) {
      close(folder);
      folder = below;
      if (!S_ISDIR(status.st_mode)) return close(folder), -ENOTDIR;
      continue;
    }
    char target[PATH_MAX];
    ssize_t count = readlinkat(below, "", target, sizeof target - 1);
    close(below);
    int is_trusted = !is_root || (status.st_uid == 0 && status.st_nlink == 1);
    if (!is_trusted || ++links > links_at_most) return close(folder), -ELOOP;
    if (count <= 0 || (size_t)count + strlen(next) + 1 >= sizeof target) return close(folder), -ENAMETOOLONG;
    strcpy(target + count, next);
    strcpy(rest, target);
    next = rest;
    if (rest[0] == '/') {
      close(folder);
      folder = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    }
  }
  return -errno;
}

/// Gives what lies at a name in a folder, if it is the socket that was just made there, its mode and owner.
static int dress(int folder, const char *name, uint32_t mode, uint32_t uid, uint32_t gid) {
  char itself[64];
  struct stat status;
  int fd = openat(folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC), error = 0;
  if (fd < 0 || fstat(fd, &status) != 0) error = errno;
  else if (!S_ISSOCK(status.st_mode) || status.st_uid != geteuid() || status.st_nlink != 1) error = EEXIST;
  snprintf(itself, sizeof itself, "/proc/self/fd/%d", fd);
  if (!error && chmod(itself, mode) != 0) error = errno;
  if (!error && (uid != UINT32_MAX || gid != UINT32_MAX) && fchownat(fd, "", uid, gid, AT_EMPTY_PATH) != 0) error = errno;
  if (fd >= 0) close(fd);
  return error;
}

int32_t sluice_unix_listen(int32_t folder, const char *name, uint32_t mode, uint32_t uid, uint32_t gid) {
  struct stat status;
  char path[sizeof((struct sockaddr_un *)0)->sun_path];
  // By the folder's descriptor: whatever becomes of the names above it meanwhile.
  if (snprintf(path, sizeof path, "/proc/self/fd/%d/%s", folder, name) >= (int)sizeof path) return -ENAMETOOLONG;
  if (!fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW)) {
    if (!S_ISSOCK(status.st_mode)) return -EEXIST;
    int32_t other = sluice_unix_connect(path);
    // EAGAIN: a process listens and has no room in its queue.
    if (other >= 0) close(other);
    if (other >= 0 || other == -EAGAIN) return -EADDRINUSE;
    if (unlinkat(folder, name, 0) && errno != ENOENT) return -errno;
  }
  struct sockaddr_un address;
  int32_t fd = new_socket(path, &address);
  if (fd < 0) return fd;
  // No process can connect before it listens, so none can by the mode that it was made with.
  int error = bind(fd, (void *)&address, sizeof address) ? errno : dress(folder, name, mode, uid, gid);
  if (!error && listen(fd, 64)) error = errno;
  if (!error) return fd;
  close(fd);
  return -error;
}

int32_t sluice_unix_datagrams(void) {
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  return fd < 0 ? -errno : fd;
}

int32_t sluice_unix_notify(int32_t fd, const char *path, const char *text) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  size_t length = strlen(path);
  if (length == 0 || length >= sizeof address.sun_path) return -EINVAL;
  memcpy(address.sun_path, path, length);
  if (path[0] == '@') address.sun_path[0] = 0;
  socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
  return sendto(fd, text, strlen(text), MSG_NOSIGNAL, (void *)&address, size) < 0 ? -errno : 0;
}
