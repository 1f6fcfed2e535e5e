#ifndef SLUICE_SANDBOX_H
#define SLUICE_SANDBOX_H

#include <stdint.h>

// What a process may still ask of the kernel: system calls (seccomp(2)) and files (landlock(7)). Both are inherited by
// threads, children and programs, are of the thread that enters them alone, and cannot be left.

/// Whose system calls.
enum {
  SLUICE_SANDBOX_SERVE = 0,   // parses what comes from outside; starts no program
  SLUICE_SANDBOX_BRIDGE = 1,  // netlink; starts itself and nft
  SLUICE_SANDBOX_GATE = 2,    // takes connections and makes others; starts nothing
  SLUICE_SANDBOX_GATE_KEEPER = 3,  // the same, and starts itself
  SLUICE_SANDBOX_VALIDATOR = 4,  // one socket and memory
  SLUICE_SANDBOX_KEEPER = 5,  // starts itself, which may confine itself further
};

/// What for a file or folder stays within reach.
enum {
  SLUICE_PATH_READ = 1,     // it and what is below it is read
  SLUICE_PATH_SET = 2,      // files that are there are read and written
  SLUICE_PATH_FILL = 4,     // files in it are read, written, made, renamed and removed
  SLUICE_PATH_CLEAR = 8,    // files in it are removed
  SLUICE_PATH_EXECUTE = 16  // programs in it are read and executed
};

/// The version of Landlock that the kernel has, at most `highest`; 0 where it has none or it cannot be used.
int sluice_landlock_version(int highest);

/// A new set of paths for a kernel of `version`; what it knows to refuse is refused everywhere else. Returns a
/// descriptor or a negative errno.
///
/// `profile` tells who it is for: serve and the gate open TCP connections, the others none; the gate binds no port.
/// `keeps_abstract`: sockets
/// without a file that other processes made stay within reach.
int sluice_landlock_new(int version, int profile, int keeps_abstract);

/// Adds a file or folder, by its path or (NULL) by a descriptor of it. Returns 0 or an errno; ENOENT where there is none.
int sluice_landlock_allow(int ruleset, int version, const char *path, int fd, uint32_t uses);

/// Adds the folders of the libraries that this process has loaded. Returns 0 or an errno.
int sluice_landlock_allow_libraries(int ruleset, int version);

/// Keeps the calling thread to these paths; sets no_new_privs. Returns 0 or an errno.
int sluice_landlock_enter(int ruleset);

/// Keeps the calling thread to the system calls of `profile`; sets no_new_privs. Every other is refused with EPERM, one
/// that is younger than the list with ENOSYS, and one of another architecture ends the process. Returns 0 or an errno.
int sluice_seccomp_enter(int profile);

/// Whether a filter of system calls is in force for the calling thread.
int sluice_seccomp_is_entered(void);

/// How many threads of this process have another number of filters than the calling one; -1 where the kernel does not
/// tell. `name` becomes the name of one of them.
int sluice_seccomp_strays(char name[16]);

#endif
