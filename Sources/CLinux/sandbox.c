#define _GNU_SOURCE
#include "sluice_sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// MARK: System calls

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "name the architecture for seccomp"
#endif

// Every number up to it was weighed for the lists below (mseal of Linux 6.10): what is younger does not exist, so that a
// newer C library takes its older way.
enum { LAST_WEIGHED = 462, CLONE3 = 435, CLOSE_RANGE = 436, FACCESSAT2 = 439, EPOLL_PWAIT2 = 441, RSEQ =
#if defined(__x86_64__)
       334
#else
       293
#endif
};

// Both serve and the bridge with nft.
static const int common[] = {
    // files; which ones is Landlock's to say, and how they are opened is judged
    SYS_close, CLOSE_RANGE, SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_pread64, SYS_pwrite64, SYS_lseek,
    SYS_fstat, SYS_newfstatat, SYS_statx, SYS_faccessat, FACCESSAT2, SYS_readlinkat, SYS_getdents64, SYS_getcwd,
    SYS_flock, SYS_fsync, SYS_fdatasync, SYS_ftruncate, SYS_renameat, SYS_renameat2, SYS_unlinkat, SYS_statfs, SYS_fstatfs,
    SYS_dup, SYS_dup3,
    // memory; mmap and mprotect are judged by what they ask for
    SYS_munmap, SYS_mremap, SYS_madvise, SYS_brk,
    // waiting
    SYS_ppoll, SYS_pselect6, SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_pwait, EPOLL_PWAIT2, SYS_eventfd2,
    SYS_timerfd_create, SYS_timerfd_settime, SYS_timerfd_gettime, SYS_signalfd4, SYS_nanosleep, SYS_clock_nanosleep,
    SYS_restart_syscall, SYS_wait4, SYS_waitid,
    // sockets; socket is judged by what it asks for
    SYS_bind, SYS_connect, SYS_getsockname, SYS_getpeername, SYS_getsockopt, SYS_setsockopt, SYS_sendto, SYS_recvfrom,
    SYS_sendmsg, SYS_recvmsg, SYS_sendmmsg, SYS_recvmmsg, SYS_shutdown,
    // threads; clone is judged by what it asks for, and what sets priorities and limits by whose they are
    SYS_futex, SYS_set_robust_list, SYS_get_robust_list, RSEQ, SYS_exit, SYS_exit_group, SYS_sched_yield,
    SYS_sched_getaffinity, SYS_sched_getattr, SYS_sched_getscheduler, SYS_sched_getparam, SYS_sched_get_priority_max,
    SYS_sched_get_priority_min, SYS_getpriority, SYS_membarrier, SYS_getcpu,
    // what one is and what time it is
    SYS_getpid, SYS_gettid, SYS_getppid, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid, SYS_uname, SYS_sysinfo,
    SYS_getrusage, SYS_capget, SYS_prctl, SYS_getrandom, SYS_clock_gettime, SYS_clock_getres,
    SYS_gettimeofday,
    // signals, of which a thread sends some to itself
    SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_rt_sigtimedwait, SYS_sigaltstack,
#if defined(__x86_64__)
    // older names of the same
    SYS_stat, SYS_lstat, SYS_access, SYS_readlink, SYS_rename, SYS_unlink, SYS_poll, SYS_select, SYS_epoll_wait,
    SYS_dup2, SYS_time, SYS_getrlimit,
#endif
};

static const int of_serve[] = {
    SYS_listen, SYS_accept, SYS_accept4, SYS_fallocate, SYS_fchown, SYS_utimensat, SYS_inotify_init1,
    SYS_inotify_add_watch, SYS_inotify_rm_watch,
};

static const int of_bridge[] = {
    SYS_execve, SYS_tgkill, SYS_pipe2, SYS_socketpair, SYS_kill, SYS_setpgid, SYS_capset, SYS_set_tid_address, SYS_umask,
#if defined(__x86_64__)
    SYS_arch_prctl, SYS_pipe,
#endif
};

// What the gate does with connections, and its keeper too: a filter only ever takes away.
static const int of_gate[] = {SYS_accept4, SYS_splice, SYS_pipe2};

// How the keeper starts a gate, which has its sockets listen before it enters its own sandbox, and how it ends one.
static const int of_gate_keeper[] = {
    SYS_listen,
    SYS_execve, SYS_socketpair, SYS_kill, SYS_setpgid, SYS_set_tid_address, SYS_umask, SYS_tgkill,
    // the gate's own sandbox, inside this one
    SYS_seccomp, 444 /* landlock_create_ruleset */, 445 /* landlock_add_rule */, 446 /* landlock_restrict_self */,
#if defined(__x86_64__)
    SYS_arch_prctl,
#endif
};

static int is_gate(int profile) { return profile == SLUICE_SANDBOX_GATE || profile == SLUICE_SANDBOX_GATE_KEEPER; }
static int starts_programs(int profile) {
  return profile == SLUICE_SANDBOX_BRIDGE || profile == SLUICE_SANDBOX_GATE_KEEPER || profile == SLUICE_SANDBOX_KEEPER;
}

// What keeps a process that confines itself further.
static const int of_keeper[] = {SYS_seccomp, 444 /* landlock_create_ruleset */, 446 /* landlock_restrict_self */};

// What verifies signatures has its socket and memory, opens nothing and starts nothing.
static const int of_validator[] = {
    SYS_close, SYS_read, SYS_write, SYS_recvfrom, SYS_recvmsg, SYS_sendto, SYS_sendmsg, SYS_ppoll, SYS_munmap, SYS_mremap,
    SYS_madvise, SYS_brk, SYS_futex, SYS_sched_yield, SYS_getpid, SYS_gettid, SYS_getrandom, SYS_clock_gettime,
    SYS_nanosleep, SYS_clock_nanosleep, SYS_restart_syscall, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn,
    SYS_sigaltstack, SYS_exit, SYS_exit_group,
#if defined(__x86_64__)
    SYS_poll,
#endif
};

// Of a terminal or a socket: what is there, whether calls wait, which number an interface has.
static const unsigned requests[] = {TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIOCLEX, FIONCLEX, 0x8933 /* SIOCGIFINDEX */,
                                    0x8910 /* SIOCGIFNAME */};

enum { LONGEST = 1024 };

struct program {
  struct sock_filter code[LONGEST];
  unsigned count;
};

static void add(struct program *program, struct sock_filter instruction) {
  if (program->count < LONGEST) program->code[program->count] = instruction;
  program->count++;
}

static const uint32_t ALLOW = SECCOMP_RET_ALLOW, REFUSE = SECCOMP_RET_ERRNO | EPERM, UNKNOWN = SECCOMP_RET_ERRNO | ENOSYS;

static void answer(struct program *p, uint32_t action) { add(p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action)); }

/// The low half of an argument: all that the kernel looks at of what is judged here. Both architectures are little-endian.
static void load_argument(struct program *p, int index) {
  add(p, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(offsetof(struct seccomp_data, args) + 8 * (size_t)index)));
}

static void if_equal(struct program *p, uint32_t value, uint32_t action) {
  add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1));
  answer(p, action);
}

static void if_any_bit(struct program *p, uint32_t bits, uint32_t action) {
  add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, 0, 1));
  answer(p, action);
}

/// What follows until `end_case` is for one system call alone, and must answer in every case.
static unsigned begin_case(struct program *p, int number) {
  add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 0));
  return p->count - 1;
}

static void end_case(struct program *p, unsigned begin) {
  if (begin < LONGEST) p->code[begin].jf = (uint8_t)(p->count - begin - 1);
}

static void judge_socket(struct program *p, int profile) {
  if (profile == SLUICE_SANDBOX_KEEPER) return;
  unsigned begin = begin_case(p, SYS_socket);
  load_argument(p, 0);
  if (profile != SLUICE_SANDBOX_BRIDGE) {
    if_equal(p, AF_INET, ALLOW);
    if_equal(p, AF_INET6, ALLOW);
  }
  if (is_gate(profile)) answer(p, REFUSE);
  add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_NETLINK, 1, 0));
  answer(p, REFUSE);
  load_argument(p, 2);
  if_equal(p, NETLINK_ROUTE, ALLOW);
  if (profile == SLUICE_SANDBOX_BRIDGE) if_equal(p, NETLINK_NETFILTER, ALLOW);
  answer(p, REFUSE);
  end_case(p, begin);
}

static void judge_clone(struct program *p, int profile) {
  const uint32_t namespaces =
      CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
  unsigned begin = begin_case(p, SYS_clone);
  load_argument(p, 0);
  if_any_bit(p, namespaces | CLONE_PTRACE, REFUSE);
  if (starts_programs(profile)) {
    answer(p, ALLOW);
  } else {
    if_any_bit(p, CLONE_THREAD, ALLOW);
    answer(p, REFUSE);
  }
  end_case(p, begin);
}

/// No memory that is written is executed.
static void judge_memory(struct program *p) {
  unsigned begin = begin_case(p, SYS_mmap);
  load_argument(p, 2);
  add(p, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, PROT_WRITE | PROT_EXEC));
  if_equal(p, PROT_WRITE | PROT_EXEC, REFUSE);
  answer(p, ALLOW);
  end_case(p, begin);
  begin = begin_case(p, SYS_mprotect);
  load_argument(p, 2);
  if_any_bit(p, PROT_EXEC, REFUSE);
  answer(p, ALLOW);
  end_case(p, begin);
}

/// Landlock looks at how a file is opened to be read and written; before version 3 it lets a file that is opened for neither be
/// emptied all the same.
static void judge_open(struct program *p, int number, int argument) {
  unsigned begin = begin_case(p, number);
  load_argument(p, argument);
  add(p, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, O_TRUNC | O_ACCMODE));
  if_equal(p, O_TRUNC | O_RDONLY, REFUSE);
  if_equal(p, O_TRUNC | O_ACCMODE, REFUSE);
  answer(p, ALLOW);
  end_case(p, begin);
}

/// What is one's own, by the number 0 at `argument`, and of no other process, though it be the same user's.
static void judge_own(struct program *p, int number, int argument) {
  unsigned begin = begin_case(p, number);
  load_argument(p, argument);
  if_equal(p, 0, ALLOW);
  answer(p, REFUSE);
  end_case(p, begin);
}

/// Signals to another process.
static void judge_own_signals(struct program *p) {
  unsigned begin = begin_case(p, SYS_tgkill);
  load_argument(p, 0);
  if_equal(p, (uint32_t)getpid(), ALLOW);
  answer(p, REFUSE);
  end_case(p, begin);
}

/// Priorities, limits and signals of other processes of the same user: Landlock leaves the first two alone, and signals before
/// version 6.
static void judge_others(struct program *p, int profile) {
  static const int first[] = {SYS_prlimit64, SYS_sched_setattr, SYS_sched_setscheduler};
  for (size_t i = 0; i < sizeof first / sizeof first[0]; i++) judge_own(p, first[i], 0);
  // The kind before the number: of a process 0 for both, of an own thread for I/O 1 and 0.
  static const int second[] = {SYS_setpriority, SYS_ioprio_set};
  for (int i = 0; i < 2; i++) {
    unsigned begin = begin_case(p, second[i]);
    load_argument(p, 0);
    add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)i, 1, 0));
    answer(p, REFUSE);
    load_argument(p, 1);
    if_equal(p, 0, ALLOW);
    answer(p, REFUSE);
    end_case(p, begin);
  }
  // A descriptor's news, as a signal of any number to any process of the user.
  unsigned begin = begin_case(p, SYS_fcntl);
  load_argument(p, 1);
  static const int owners[] = {F_SETOWN, 10 /* F_SETSIG */, 15 /* F_SETOWN_EX */};
  for (size_t i = 0; i < sizeof owners / sizeof owners[0]; i++) if_equal(p, (uint32_t)owners[i], REFUSE);
  answer(p, ALLOW);
  end_case(p, begin);
  if (starts_programs(profile)) return;
  // Landlock looks at no mode. Of what is its user's serve makes nothing writable for other users.
  begin = begin_case(p, SYS_fchmod);
  load_argument(p, 1);
  if_any_bit(p, S_ISUID | S_ISGID | S_IWOTH, REFUSE);
  answer(p, ALLOW);
  end_case(p, begin);
  // What starts programs ends them; serve and the gate have none that they may signal.
  judge_own_signals(p);
}

static void judge_ioctl(struct program *p) {
  unsigned begin = begin_case(p, SYS_ioctl);
  load_argument(p, 1);
  for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) if_equal(p, requests[i], ALLOW);
  answer(p, REFUSE);
  end_case(p, begin);
}

static void allow_all(struct program *p, const int *numbers, size_t count) {
  for (size_t i = 0; i < count; i++) if_equal(p, (uint32_t)numbers[i], ALLOW);
}

static void write_filter(struct program *p, int profile) {
  add(p, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)));
  add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0));
  answer(p, SECCOMP_RET_KILL_PROCESS);
  add(p, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
#if defined(__x86_64__)
  // x32: the same architecture with a bit in the number.
  if_any_bit(p, 0x40000000, SECCOMP_RET_KILL_PROCESS);
#endif
  add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, LAST_WEIGHED, 0, 1));
  answer(p, UNKNOWN);
  // Its flags lie in memory, where no filter sees them; the C library takes clone then.
  if_equal(p, CLONE3, UNKNOWN);
  if (profile == SLUICE_SANDBOX_VALIDATOR) {
    judge_memory(p);
    judge_own_signals(p);
    allow_all(p, of_validator, sizeof of_validator / sizeof of_validator[0]);
    answer(p, REFUSE);
    return;
  }
  judge_open(p, SYS_openat, 2);
#if defined(__x86_64__)
  judge_open(p, SYS_open, 1);
#endif
  judge_others(p, profile);
  judge_memory(p);
  judge_socket(p, profile);
  judge_clone(p, profile);
  judge_ioctl(p);
  allow_all(p, common, sizeof common / sizeof common[0]);
  if (profile == SLUICE_SANDBOX_SERVE) allow_all(p, of_serve, sizeof of_serve / sizeof of_serve[0]);
  if (profile == SLUICE_SANDBOX_BRIDGE || profile == SLUICE_SANDBOX_KEEPER) allow_all(p, of_bridge, sizeof of_bridge / sizeof of_bridge[0]);
  if (is_gate(profile)) allow_all(p, of_gate, sizeof of_gate / sizeof of_gate[0]);
  if (profile == SLUICE_SANDBOX_GATE_KEEPER) allow_all(p, of_gate_keeper, sizeof of_gate_keeper / sizeof of_gate_keeper[0]);
  if (profile == SLUICE_SANDBOX_KEEPER) allow_all(p, of_keeper, sizeof of_keeper / sizeof of_keeper[0]);
  answer(p, REFUSE);
}

int sluice_seccomp_enter(int profile) {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
  struct program *program = calloc(1, sizeof *program);
  if (!program) return ENOMEM;
  write_filter(program, profile);
  int error = EINVAL;
  if (program->count <= LONGEST) {
    struct sock_fprog filter = {.len = (unsigned short)program->count, .filter = program->code};
    // Without the flag kernels before 5.16 slow every branch of the process down.
    long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &filter);
    error = result == 0 ? 0 : errno;
  }
  free(program);
  return error;
}

int sluice_seccomp_is_entered(void) { return prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == SECCOMP_MODE_FILTER; }

/// A number of a thread's status; -1 where it is not told. `name` becomes the thread's.
static int filters_of(const char *thread, char name[16]) {
  char path[64], line[256];
  snprintf(path, sizeof path, "/proc/self/task/%.20s/status", thread);
  FILE *status = fopen(path, "re");
  if (!status) return -1;
  int filters = -1;
  while (fgets(line, sizeof line, status)) {
    if (sscanf(line, "Name: %15s", name) == 1) continue;
    if (sscanf(line, "Seccomp_filters: %d", &filters) == 1) break;
  }
  fclose(status);
  return filters;
}

int sluice_seccomp_strays(char name[16]) {
  char own[24], other[16];
  snprintf(own, sizeof own, "%d", gettid());
  int mine = filters_of(own, other), strays = 0;
  DIR *threads = mine < 0 ? NULL : opendir("/proc/self/task");
  if (!threads) return -1;
  struct dirent *entry;
  while ((entry = readdir(threads))) {
    if (entry->d_name[0] == '.') continue;
    int theirs = filters_of(entry->d_name, other);
    // One that is not told of has ended.
    if (theirs < 0 || theirs == mine) continue;
    memcpy(name, other, sizeof other);
    strays++;
  }
  closedir(threads);
  return strays;
}

// MARK: Files

// As of Linux 6.12 (version 6): the headers of Debian 12 end with version 2.
enum { CREATE_RULESET = 444, ADD_RULE = 445, RESTRICT_SELF = 446, PATH_BENEATH = 1, NET_PORT = 2 };
enum {
  EXECUTE = 1 << 0,
  WRITE_FILE = 1 << 1,
  READ_FILE = 1 << 2,
  READ_FOLDER = 1 << 3,
  REMOVE_FOLDER = 1 << 4,
  REMOVE_FILE = 1 << 5,
  MAKE_REGULAR = 1 << 8,
  EVERYTHING_1 = (1 << 13) - 1,
  REFER_2 = 1 << 13,
  TRUNCATE_3 = 1 << 14,
  DEVICE_5 = 1 << 15,
  OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE_3 | DEVICE_5,
  BIND_4 = 1,
  BIND_AND_CONNECT_4 = 3,
  ABSTRACT_6 = 1,
  SIGNAL_6 = 2,
};

struct ruleset {
  uint64_t files;
  uint64_t network;
  uint64_t scopes;
};

struct beneath {
  uint64_t rights;
  int32_t folder;
} __attribute__((packed));

/// Port 0 is whichever the kernel gives.
struct port {
  uint64_t rights;
  uint64_t port;
};

static uint64_t handled(int version) {
  return EVERYTHING_1 | (version >= 2 ? REFER_2 : 0) | (version >= 3 ? TRUNCATE_3 : 0) | (version >= 5 ? DEVICE_5 : 0);
}

int sluice_landlock_version(int highest) {
  long version = syscall(CREATE_RULESET, NULL, 0, 1);
  return version < 0 ? 0 : version > highest ? highest : (int)version;
}

int sluice_landlock_new(int version, int profile, int keeps_abstract) {
  struct ruleset ruleset = {.files = handled(version)};
  if (version >= 4 && profile != SLUICE_SANDBOX_SERVE) ruleset.network = BIND_AND_CONNECT_4;
  // It connects to addresses that the firewall bounds, and listens where its sockets do that it was given.
  if (version >= 4 && is_gate(profile)) ruleset.network = BIND_4;
  if (version >= 6) ruleset.scopes = SIGNAL_6 | (keeps_abstract ? 0 : ABSTRACT_6);
  // What a kernel does not know is 0, and taken as if it were not there.
  long fd = syscall(CREATE_RULESET, &ruleset, sizeof ruleset, 0);
  if (fd < 0) return -errno;
  // From which address of the host it connects it may say, and none at which anything could connect to it.
  struct port any = {.rights = BIND_4, .port = 0};
  if (ruleset.network == BIND_4 && syscall(ADD_RULE, fd, NET_PORT, &any, 0) < 0) {
    int error = errno;
    close((int)fd);
    return -error;
  }
  return (int)fd;
}

static int allow(int ruleset, int version, int fd, uint32_t uses) {
  struct stat status;
  if (fstat(fd, &status) != 0) return errno;
  uint64_t rights = 0;
  if (uses & SLUICE_PATH_READ) rights |= READ_FILE | READ_FOLDER;
  if (uses & SLUICE_PATH_SET) rights |= READ_FILE | WRITE_FILE | TRUNCATE_3 | DEVICE_5;
  if (uses & SLUICE_PATH_FILL)
    rights |= READ_FILE | READ_FOLDER | WRITE_FILE | TRUNCATE_3 | MAKE_REGULAR | REMOVE_FILE;
  if (uses & SLUICE_PATH_CLEAR) rights |= REMOVE_FILE;
  if (uses & SLUICE_PATH_EXECUTE) rights |= READ_FILE | EXECUTE;
  rights &= handled(version);
  if (!S_ISDIR(status.st_mode)) rights &= OF_FILES;
  if (rights == 0) return 0;
  struct beneath rule = {.rights = rights, .folder = fd};
  return syscall(ADD_RULE, ruleset, PATH_BENEATH, &rule, 0) == 0 ? 0 : errno;
}

int sluice_landlock_allow(int ruleset, int version, const char *path, int fd, uint32_t uses) {
  if (!path) return allow(ruleset, version, fd, uses);
  int target = open(path, O_PATH | O_CLOEXEC);
  if (target < 0) return errno;
  int error = allow(ruleset, version, target, uses);
  close(target);
  return error;
}

struct libraries {
  int ruleset;
  int version;
  int error;
};

static int allow_library(struct dl_phdr_info *library, size_t size, void *context) {
  (void)size;
  struct libraries *libraries = context;
  const char *slash = library->dlpi_name ? strrchr(library->dlpi_name, '/') : NULL;
  if (!slash || slash == library->dlpi_name) return 0;
  char folder[PATH_MAX];
  size_t length = (size_t)(slash - library->dlpi_name);
  if (length >= sizeof folder) return 0;
  memcpy(folder, library->dlpi_name, length);
  folder[length] = 0;
  int error = sluice_landlock_allow(libraries->ruleset, libraries->version, folder, -1, SLUICE_PATH_READ);
  if (error != 0 && error != ENOENT) libraries->error = error;
  return 0;
}

int sluice_landlock_allow_libraries(int ruleset, int version) {
  struct libraries libraries = {.ruleset = ruleset, .version = version};
  dl_iterate_phdr(allow_library, &libraries);
  return libraries.error;
}

int sluice_landlock_enter(int ruleset) {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
  return syscall(RESTRICT_SELF, ruleset, 0) == 0 ? 0 : errno;
}
