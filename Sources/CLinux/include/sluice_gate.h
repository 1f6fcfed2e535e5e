#ifndef SLUICE_GATE_H
#define SLUICE_GATE_H

#include "sluice_io.h"
#include <stdint.h>

// What the gate asks of the kernel: connections that were redirected to it, and octets that pass without being copied.

/// Has a socket that listens keep more connections that wait, and accepting from it wait for none; what is accepted is as
/// `sluice_gate_prepare` makes it, and sends a reset when it is closed. Returns 0 or an errno.
int sluice_gate_listen(int fd, int backlog);

/// Takes a connection, non-blocking and close-on-exec, and says who it is from. Returns a descriptor or a negative errno.
int sluice_gate_accept(int fd, struct sluice_endpoint *client);

/// Where a connection was going before the firewall redirected it (SO_ORIGINAL_DST). Returns 0 or an errno.
int sluice_gate_destination(int fd, int is_v6, struct sluice_endpoint *destination);

/// A TCP socket that is being connected, non-blocking and close-on-exec, and not prepared; from the loopback address where it stays on
/// this host. Returns a descriptor or a negative errno.
int sluice_gate_connect(struct sluice_endpoint endpoint, int stays_here);

/// What is written leaves at once, and a peer that is gone for a quarter of an hour is found out. Returns 0 or an errno.
int sluice_gate_prepare(int fd);

/// Whether closing it sends a reset. Returns 0 or an errno.
int sluice_gate_reset_at_close(int fd, int resets);

/// Says that nothing more is sent. Returns 0 or an errno.
int sluice_gate_finish(int fd);

/// Takes octets, or gives some, without waiting. Returns how many, 0 at the end, or a negative errno.
int64_t sluice_gate_receive(int fd, uint8_t *octets, uint64_t size);
/// What `sluice_gate_receive` would say of one octet, which stays where it is.
int64_t sluice_gate_peek(int fd);
int64_t sluice_gate_send(int fd, const uint8_t *octets, uint64_t size);

/// A pipe that does not wait, with room for `size` octets where the kernel gives as much. Returns 0 or an errno.
int sluice_gate_pipe(int ends[2], int size);

/// Moves octets from one descriptor to another, one of them a pipe, without waiting. `more` keeps a part of a segment back
/// for what follows. Returns how many, 0 at the end, or a negative errno.
int64_t sluice_gate_splice(int from, int to, uint64_t size, int more);

#endif
