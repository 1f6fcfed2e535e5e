#ifndef SLUICE_PRIVILEGES_H
#define SLUICE_PRIVILEGES_H

#include <stdint.h>

/// Gives up every capability but CAP_NET_ADMIN for good: bounding, ambient, inheritable, permitted and effective sets,
/// no_new_privs, not dumpable. Returns 0 or an errno.
int sluice_privileges_keep_net_admin(void);

/// Becomes a user and a group for good, without other groups and with no capability left, where the process was root's.
/// Returns 0 or an errno.
int sluice_privileges_leave_root(uint32_t user, uint32_t group);

/// Becomes a user and a group, without other groups, and keeps the permitted capabilities. Returns 0 or an errno.
int sluice_privileges_become_with_capabilities(uint32_t user, uint32_t group);

/// Looks an account up. Returns 0, ENOENT when there is none, or another errno.
int sluice_find_user(const char *name, uint32_t *user, uint32_t *group);

/// Gives up every capability for good. Returns 0 or an errno.
int sluice_privileges_drop_all(void);

/// Starts `path` in a process group of its own; fds[i] becomes descriptor i of the child, everything else is closed;
/// all signals are unblocked and at their defaults. Returns the child's pid or a negative errno.
int sluice_spawn(const char *path, char *const argv[], char *const envp[], const int *fds, int count);

/// The same, of a child that the kernel kills when the calling thread ends, however that ends.
int sluice_spawn_dependent(const char *path, char *const argv[], char *const envp[], const int *fds, int count);

/// A non-blocking descriptor that becomes readable when a child changed state; blocks SIGCHLD for the calling thread.
/// Returns a descriptor or a negative errno.
int sluice_child_signals(void);

/// Takes one waiting signal off `fd`. Returns 1, or 0 when none waits.
int sluice_child_signals_take(int fd);

/// Ignores the signals that end the other processes of a terminal or of a service.
void sluice_ignore_stop_requests(void);

/// A pipe whose ends are closed on exec. Returns 0 or an errno.
int sluice_pipe(int ends[2]);

/// A connected pair of local sockets, closed on exec: of whole messages, or (0) of a stream. Returns 0 or an errno.
int sluice_socket_pair(int messages, int ends[2]);

/// Whether `fd` is a socket of whole messages.
int sluice_is_message_socket(int fd);

/// Receives a message without waiting: its octets, 0 also for an empty one, or -errno.
int64_t sluice_message_receive(int fd, void *octets, uint64_t size);

/// Sends a message, waiting for room or not, and raises no SIGPIPE: its octets or -errno.
int64_t sluice_message_send(int fd, const void *octets, uint64_t size, int waits);

/// An anonymous file in memory. Returns a descriptor or a negative errno.
int sluice_memory_file(const char *name);

/// waitpid(2) with WNOHANG | WUNTRACED | WCONTINUED. Returns the pid or 0; `state` becomes 1 ended, 2 stopped, 3 continued.
int sluice_child_state(int pid, int *state);

/// Drops in the kernel every netlink datagram whose first message came from either port. Returns 0 or an errno.
int sluice_netlink_ignore_ports(int fd, uint32_t first, uint32_t second);

/// Asks the scheduler to let the calling thread, and what it starts, run soon after they wake, in exchange for short
/// turns: 0.1 ms, the least that Linux 6.12 and later grant. Earlier kernels take no notice of it. `nice` is applied
/// where it is lower than the present value and the right to lower it (CAP_SYS_NICE) is there.
void sluice_prefer_latency(int nice);

/// Which real-time priority this process and what it starts may take (RLIMIT_RTPRIO): 0 none, 1 the lowest. More than it may
/// have so far needs CAP_SYS_RESOURCE; without it the limit stays.
void sluice_realtime_limit(unsigned priority);

/// Puts the calling thread, and what it starts, before all that is not real-time (SCHED_FIFO, priority 1). Returns 0 or an
/// errno: EPERM where neither the limit nor CAP_SYS_NICE lets it.
int sluice_realtime_enter(void);

/// Makes the calling thread one among others again, with the nice value it had and as after `sluice_prefer_latency`.
void sluice_realtime_leave(void);

/// Moves the calling thread into a new network namespace. Returns 0 or an errno.
int sluice_new_network_namespace(void);

/// Moves the calling thread into the network namespace that `fd` stands for. Returns 0 or an errno.
int sluice_enter_network_namespace(int fd);

#endif
