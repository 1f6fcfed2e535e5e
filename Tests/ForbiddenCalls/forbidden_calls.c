#define _GNU_SOURCE
#include "forbidden_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int outcome(long result) { return result < 0 ? errno : 0; }

int forbidden_fork(void) {
  long child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
  if (child == 0) syscall(SYS_exit_group, 0);
  if (child > 0) waitpid((pid_t)child, NULL, 0);
  return outcome(child);
}

int forbidden_execute(const char *path) {
  char *const words[] = {(char *)path, NULL}, *const none[] = {NULL};
  return outcome(syscall(SYS_execve, path, words, none));
}

int forbidden_socket(int family, int type, int protocol) {
  int fd = socket(family, type | SOCK_CLOEXEC, protocol);
  int error = outcome(fd);
  if (fd >= 0) close(fd);
  return error;
}

int forbidden_listen(void) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno;
  int error = outcome(listen(fd, 1));
  close(fd);
  return error;
}

int forbidden_signal(int process) { return outcome(syscall(SYS_tgkill, process, process, 0)); }

static int write_and_execute(void) {
  void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  int error = page == MAP_FAILED ? errno : 0;
  if (!error) munmap(page, 4096);
  return error;
}

static int execute_what_was_written(void) {
  void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return 0;
  int error = outcome(mprotect(page, 4096, PROT_READ | PROT_EXEC));
  munmap(page, 4096);
  return error;
}

static int new_namespace(int flag) {
  long child = syscall(SYS_clone, flag | SIGCHLD, 0, 0, 0, 0);
  if (child == 0) syscall(SYS_exit_group, 0);
  if (child > 0) waitpid((pid_t)child, NULL, 0);
  return outcome(child);
}

static int own_signals(int command, long argument) {
  int ends[2] = {-1, -1};
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) ends[0] = 0;
  int error = outcome(fcntl(ends[0], command, argument));
  if (ends[1] >= 0) close(ends[0]), close(ends[1]);
  return error;
}

int forbidden_calls(struct forbidden_result *results, int room) {
  const struct forbidden_result found[] = {
      {"ptrace", outcome(syscall(SYS_ptrace, PTRACE_ATTACH, 0x7ffffffe, 0, 0))},
      {"process_vm_readv", outcome(syscall(SYS_process_vm_readv, 1, NULL, 0, NULL, 0, 0))},
      {"mount", outcome(syscall(SYS_mount, NULL, NULL, NULL, 0, NULL))},
      {"umount2", outcome(syscall(SYS_umount2, NULL, 0))},
      {"pivot_root", outcome(syscall(SYS_pivot_root, NULL, NULL))},
      {"chroot", outcome(syscall(SYS_chroot, NULL))},
      {"open_tree", outcome(syscall(428, -1, NULL, 0))},
      {"fsopen", outcome(syscall(430, NULL, 0))},
      {"unshare", outcome(syscall(SYS_unshare, 0))},
      {"setns", outcome(syscall(SYS_setns, -1, 0))},
      {"clone of a user namespace", new_namespace(CLONE_NEWUSER)},
      {"clone of a network namespace", new_namespace(CLONE_NEWNET)},
      {"bpf", outcome(syscall(SYS_bpf, -1, NULL, 0))},
      {"perf_event_open", outcome(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0))},
      {"userfaultfd", outcome(syscall(SYS_userfaultfd, -1))},
      {"io_uring_setup", outcome(syscall(425, 0, NULL))},
      {"keyctl", outcome(syscall(SYS_keyctl, -1, 0, 0, 0, 0))},
      {"add_key", outcome(syscall(SYS_add_key, NULL, NULL, NULL, 0, 0))},
      {"init_module", outcome(syscall(SYS_init_module, NULL, 0, NULL))},
      {"finit_module", outcome(syscall(SYS_finit_module, -1, NULL, 0))},
      {"delete_module", outcome(syscall(SYS_delete_module, NULL, 0))},
      {"kexec_load", outcome(syscall(SYS_kexec_load, 0, -1, NULL, -1))},
      {"reboot", outcome(syscall(SYS_reboot, 0, 0, 0, NULL))},
      {"swapon", outcome(syscall(SYS_swapon, NULL, 0))},
      {"sethostname", outcome(syscall(SYS_sethostname, NULL, -1))},
      {"settimeofday", outcome(syscall(SYS_settimeofday, 1, 1))},
      {"quotactl", outcome(syscall(SYS_quotactl, -1, NULL, 0, NULL))},
      {"open_by_handle_at", outcome(syscall(SYS_open_by_handle_at, -1, NULL, 0))},
      {"name_to_handle_at", outcome(syscall(SYS_name_to_handle_at, -1, NULL, NULL, NULL, 0))},
      {"memfd_create", outcome(syscall(SYS_memfd_create, NULL, 0))},
      {"pidfd_open", outcome(syscall(434, -1, 0))},
      {"pidfd_getfd", outcome(syscall(438, -1, -1, 0))},
      {"setuid", outcome(syscall(SYS_setuid, -1))},
      {"setresuid", outcome(syscall(SYS_setresuid, -1, -1, -1))},
      {"setgroups", outcome(syscall(SYS_setgroups, 0x7fffffff, NULL))},
      {"mknod", outcome(syscall(SYS_mknodat, -1, NULL, 0, 0))},
      {"symlinkat", outcome(syscall(SYS_symlinkat, NULL, -1, NULL))},
      {"linkat", outcome(syscall(SYS_linkat, -1, NULL, -1, NULL, 0))},
      {"mkdirat", outcome(syscall(SYS_mkdirat, -1, NULL, 0))},
      {"fchownat", outcome(syscall(SYS_fchownat, -1, NULL, -1, -1, 0))},
      {"fchmodat", outcome(syscall(SYS_fchmodat, -1, NULL, 0))},
      {"setxattr", outcome(syscall(SYS_setxattr, NULL, NULL, NULL, 0, 0))},
      {"shmat", outcome(syscall(SYS_shmat, -1, NULL, 0))},
      {"personality", outcome(syscall(SYS_personality, 0xffffffff))},
      {"seccomp", outcome(syscall(SYS_seccomp, -1, 0, NULL))},
      {"ioctl TIOCSTI", outcome(syscall(SYS_ioctl, -1, 0x5412, NULL))},
      {"prlimit64 of another", outcome(syscall(SYS_prlimit64, getppid(), 0, NULL, NULL))},
      {"setpriority of another", outcome(syscall(SYS_setpriority, 0, 0x7ffffffe, 19))},
      {"setpriority of the user", outcome(syscall(SYS_setpriority, 2, 0x7ffffffe, 19))},
      {"ioprio_set of another", outcome(syscall(SYS_ioprio_set, 1, 0x7ffffffe, 0))},
      {"sched_setattr of another", outcome(syscall(SYS_sched_setattr, getppid(), NULL, 0))},
      {"sched_setscheduler of another", outcome(syscall(SYS_sched_setscheduler, getppid(), -1, NULL))},
      {"fcntl F_SETOWN", own_signals(F_SETOWN, getppid())},
      {"fcntl F_SETSIG", own_signals(F_SETSIG, SIGCONT)},
      {"fchmod that lets others write", outcome(syscall(SYS_fchmod, -1, 0606))},
      {"fchmod to the user's identity", outcome(syscall(SYS_fchmod, -1, 04600))},
      {"execveat", outcome(syscall(SYS_execveat, -1, NULL, NULL, NULL, 0))},
      {"memory that is written and executed", write_and_execute()},
      {"memory that was written, executed", execute_what_was_written()},
      {"socket AF_UNIX", forbidden_socket(AF_UNIX, SOCK_STREAM, 0)},
      {"socket AF_PACKET", forbidden_socket(AF_PACKET, SOCK_RAW, 0)},
      {"socket AF_VSOCK", forbidden_socket(40, SOCK_STREAM, 0)},
      {"socket AF_ALG", forbidden_socket(38, SOCK_SEQPACKET, 0)},
      {"socket AF_KEY", forbidden_socket(AF_KEY, SOCK_RAW, 2)},
      {"socket AF_XDP", forbidden_socket(44, SOCK_RAW, 0)},
      {"socket NETLINK_XFRM", forbidden_socket(AF_NETLINK, SOCK_RAW, 6)},
      {"socket NETLINK_AUDIT", forbidden_socket(AF_NETLINK, SOCK_RAW, 9)},
      {"socket NETLINK_KOBJECT_UEVENT", forbidden_socket(AF_NETLINK, SOCK_RAW, 15)},
      {"socket NETLINK_GENERIC", forbidden_socket(AF_NETLINK, SOCK_RAW, 16)},
      {"socket NETLINK_SOCK_DIAG", forbidden_socket(AF_NETLINK, SOCK_RAW, 4)},
  };
  int count = (int)(sizeof found / sizeof found[0]);
  for (int i = 0; i < count && i < room; i++) results[i] = found[i];
  return count < room ? count : room;
}
