#ifndef SLUICE_NFTABLES_H
#define SLUICE_NFTABLES_H

/// Applies the nft text of the standard input in one transaction, by libnftables, and says on the standard error what it
/// refuses.
///
/// libnftables speaks by a socket of its own, and a table that has an owner is changed by no other socket than its owner's.
/// So `socket` takes the place of that one: a netlink socket of nf_tables, which
/// does not wait any more from then on. Returns the process's exit code.
int sluice_nftables_apply(int socket);

#endif
