#ifndef FORBIDDEN_CALLS_H
#define FORBIDDEN_CALLS_H

struct forbidden_result {
  const char *name;
  int error;  // 0 where the kernel did it
};

/// Asks the kernel for what neither serve nor the bridge may have, in ways that change nothing where it is allowed: most
/// with arguments that are wrong. Returns how many of `results`, of which there are `room`, were filled in.
int forbidden_calls(struct forbidden_result *results, int room);

/// fork(2), and no more of the child than its end. Returns 0 or an errno.
int forbidden_fork(void);

/// execve(2) of a path. Returns an errno; not at all where it is allowed and there is a program.
int forbidden_execute(const char *path);

/// socket(2), closed at once. Returns 0 or an errno.
int forbidden_socket(int family, int type, int protocol);

/// listen(2) of a socket that nothing bound: the kernel chooses a port. Returns 0 or an errno.
int forbidden_listen(void);

/// tgkill(2) of the first thread of a process without a signal: whether it may. Returns 0 or an errno.
int forbidden_signal(int process);

#endif
