#define _GNU_SOURCE
#include "sluice_privileges.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int drop_bounding(uint64_t keep) {
  for (int capability = 0; capability < 64; capability++) {
    int present = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
    if (present < 0) break;
    if (present == 0 || (keep >> capability & 1)) continue;
    // Without CAP_SETPCAP the bounding set stays; only root could gain anything from it, and not with no_new_privs.
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0) continue;
    if (errno != EPERM || (geteuid() == 0 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)) return EPERM;
  }
  return 0;
}

static int keep_only(uint64_t keep) {
  // Root keeps what the bounding set leaves it over an exec; another user needs the ambient set.
  uint64_t inherit = geteuid() == 0 ? 0 : keep;
  int error = drop_bounding(keep);
  if (error != 0) return error;
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) return errno;
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  struct __user_cap_data_struct data[2];
  for (int word = 0; word < 2; word++) {
    data[word].effective = data[word].permitted = (uint32_t)(keep >> (32 * word));
    data[word].inheritable = (uint32_t)(inherit >> (32 * word));
  }
  if (syscall(SYS_capset, &header, data) != 0) return errno;
  for (int capability = 0; capability < 64; capability++) {
    if ((inherit >> capability & 1) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) != 0) return errno;
  }
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return errno;
  return 0;
}

int sluice_privileges_keep_net_admin(void) { return keep_only((uint64_t)1 << CAP_NET_ADMIN); }

int sluice_privileges_drop_all(void) { return keep_only(0); }

static int become(uint32_t user, uint32_t group) {
  if (setgroups(0, NULL) != 0 || setresgid(group, group, group) != 0 || setresuid(user, user, user) != 0) return errno;
  return 0;
}

int sluice_privileges_leave_root(uint32_t user, uint32_t group) {
  // While the process still may: without the bounding set nothing that is executed later gains a capability either. Where it
  // may not, another user gains none by no_new_privs.
  (void)drop_bounding(0);
  return become(user, group);
}

int sluice_privileges_become_with_capabilities(uint32_t user, uint32_t group) {
  if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return errno;
  return become(user, group);
}

int sluice_find_user(const char *name, uint32_t *user, uint32_t *group) {
  struct passwd entry, *found = NULL;
  char buffer[16384];
  int error = getpwnam_r(name, &entry, buffer, sizeof buffer, &found);
  if (error) return error;
  if (!found) return ENOENT;
  *user = entry.pw_uid;
  *group = entry.pw_gid;
  return 0;
}

static int fill_actions(posix_spawn_file_actions_t *actions, const int *fds, int *moved, int count) {
  for (int i = 0; i < count; i++) {
    // Out of the way first, so that no target overwrites a source that is still needed.
    moved[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 64);
    if (moved[i] < 0) return errno;
    int error = posix_spawn_file_actions_adddup2(actions, moved[i], i);
    if (error != 0) return error;
  }
  return posix_spawn_file_actions_addclosefrom_np(actions, count);
}

int sluice_spawn(const char *path, char *const argv[], char *const envp[], const int *fds, int count) {
  enum { limit = 8 };
  int moved[limit] = {-1, -1, -1, -1, -1, -1, -1, -1};
  if (count < 0 || count > limit) return -EINVAL;
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(
      &attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  pid_t pid = -1;
  int error = fill_actions(&actions, fds, moved, count);
  if (error == 0) error = posix_spawn(&pid, path, &actions, &attributes, argv, envp);
  for (int i = 0; i < count; i++) {
    if (moved[i] >= 0) close(moved[i]);
  }
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return error == 0 ? pid : -error;
}

// What a child that shares the caller's memory needs until it is another program.
struct dependent {
  const char *path;
  char *const *argv;
  char *const *envp;
  const int *moved;
  int count;
  pid_t parent;
  int error;
};

// posix_spawn(3) has no attribute for the signal. The caller stands still until this is another program, or has ended.
static int become_dependent(void *argument) {
  struct dependent *self = argument;
  struct sigaction plain = {.sa_handler = SIG_DFL};
  // Those that the kernel or the C library keeps to itself are refused, and need nothing.
  for (int number = 1; number < NSIG; number++) sigaction(number, &plain, NULL);
  sigset_t none;
  sigemptyset(&none);
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || setpgid(0, 0) != 0) goto failed;
  // A parent that ended before the line above sends no signal any more.
  if (getppid() != self->parent) return 127;
  for (int i = 0; i < self->count; i++) {
    if (dup2(self->moved[i], i) < 0) goto failed;
  }
  if (close_range((unsigned)self->count, ~0U, 0) != 0 || sigprocmask(SIG_SETMASK, &none, NULL) != 0) goto failed;
  execve(self->path, self->argv, self->envp);
failed:
  self->error = errno;
  return 127;
}

int sluice_spawn_dependent(const char *path, char *const argv[], char *const envp[], const int *fds, int count) {
  enum { limit = 8, stack_size = 1 << 16 };
  int moved[limit] = {-1, -1, -1, -1, -1, -1, -1, -1};
  if (count < 0 || count > limit) return -EINVAL;
  char *stack = malloc(stack_size);
  if (stack == NULL) return -ENOMEM;
  struct dependent child = {path, argv, envp, moved, count, getpid(), 0};
  for (int i = 0; i < count && child.error == 0; i++) {
    moved[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 64);
    if (moved[i] < 0) child.error = errno;
  }
  pid_t pid = -1;
  if (child.error == 0) {
    sigset_t all, former;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &former);
    // The stack grows down from its end, which malloc has aligned.
    pid = clone(become_dependent, stack + stack_size, CLONE_VM | CLONE_VFORK | SIGCHLD, &child);
    if (pid < 0) child.error = errno;
    pthread_sigmask(SIG_SETMASK, &former, NULL);
  }
  for (int i = 0; i < count; i++) {
    if (moved[i] >= 0) close(moved[i]);
  }
  free(stack);
  if (child.error == 0) return pid;
  if (pid > 0) waitpid(pid, NULL, 0);
  return -child.error;
}

int sluice_child_signals(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  if (sigprocmask(SIG_BLOCK, &set, NULL) != 0) return -errno;
  int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  return fd < 0 ? -errno : fd;
}

int sluice_child_signals_take(int fd) {
  struct signalfd_siginfo info;
  return read(fd, &info, sizeof info) == sizeof info;
}

void sluice_ignore_stop_requests(void) {
  static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGPIPE};
  for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) signal(signals[i], SIG_IGN);
}

int sluice_pipe(int ends[2]) { return pipe2(ends, O_CLOEXEC) == 0 ? 0 : errno; }

int sluice_socket_pair(int messages, int ends[2]) {
  int type = messages ? SOCK_SEQPACKET : SOCK_STREAM;
  return socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) == 0 ? 0 : errno;
}

int sluice_is_message_socket(int fd) {
  int type = 0;
  socklen_t size = sizeof type;
  return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET;
}

int64_t sluice_message_receive(int fd, void *octets, uint64_t size) {
  for (;;) {
    ssize_t count = recv(fd, octets, size, MSG_DONTWAIT);
    if (count >= 0) return count;
    if (errno != EINTR) return -errno;
  }
}

int64_t sluice_message_send(int fd, const void *octets, uint64_t size, int waits) {
  for (;;) {
    ssize_t count = send(fd, octets, size, MSG_NOSIGNAL | (waits ? 0 : MSG_DONTWAIT));
    if (count >= 0) return count;
    if (errno != EINTR) return -errno;
  }
}

int sluice_memory_file(const char *name) {
  int fd = memfd_create(name, MFD_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

int sluice_child_state(int pid, int *state) {
  int status = 0;
  pid_t found = waitpid(pid, &status, WNOHANG | WUNTRACED | WCONTINUED);
  *state = 0;
  if (found < 0) {
    *state = 1;  // no such child: it cannot be waited for any more
    return pid;
  }
  if (found == 0) return 0;
  *state = WIFSTOPPED(status) ? 2 : WIFCONTINUED(status) ? 3 : 1;
  return found;
}

int sluice_netlink_ignore_ports(int fd, uint32_t first, uint32_t second) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 12),  // nlmsg_pid of the first message, read as a big-endian number
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(first), 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(second), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0),
      BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
  };
  struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};
  return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0 ? 0 : errno;
}

// sched_setattr(2) as of its first version: the C library of Debian 12 has no wrapper.
struct scheduling {
  uint32_t size;
  uint32_t policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime;
  uint64_t deadline;
  uint64_t period;
};

void sluice_prefer_latency(int nice) {
  struct scheduling wanted = {.size = sizeof wanted};
  if (syscall(SYS_sched_getattr, 0, &wanted, sizeof wanted, 0) != 0) return;
  if (wanted.policy != SCHED_OTHER) return;
  wanted.runtime = 100 * 1000;
  if (nice < wanted.nice) {
    int32_t given = wanted.nice;
    wanted.nice = nice;
    if (syscall(SYS_sched_setattr, 0, &wanted, 0) == 0) return;
    wanted.nice = given;
  }
  syscall(SYS_sched_setattr, 0, &wanted, 0);
}

void sluice_realtime_limit(unsigned priority) {
  struct rlimit limit = {.rlim_cur = priority, .rlim_max = priority};
  setrlimit(RLIMIT_RTPRIO, &limit);
}

int sluice_realtime_enter(void) {
  struct scheduling wanted = {.size = sizeof wanted, .policy = SCHED_FIFO, .priority = 1};
  return syscall(SYS_sched_setattr, 0, &wanted, 0) == 0 ? 0 : errno;
}

void sluice_realtime_leave(void) {
  struct scheduling wanted = {.size = sizeof wanted};
  if (syscall(SYS_sched_getattr, 0, &wanted, sizeof wanted, 0) != 0 || wanted.policy != SCHED_FIFO) return;
  // Such a thread keeps the nice value that it had.
  wanted = (struct scheduling){.size = sizeof wanted, .policy = SCHED_OTHER, .nice = getpriority(PRIO_PROCESS, 0)};
  syscall(SYS_sched_setattr, 0, &wanted, 0);
  sluice_prefer_latency(wanted.nice);
}

int sluice_new_network_namespace(void) { return unshare(CLONE_NEWNET) == 0 ? 0 : errno; }

int sluice_enter_network_namespace(int fd) { return setns(fd, CLONE_NEWNET) == 0 ? 0 : errno; }
