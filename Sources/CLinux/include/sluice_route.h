#ifndef SLUICE_ROUTE_H
#define SLUICE_ROUTE_H

#include <stdint.h>

/// A socket of rtnetlink(7) that receives what is told to `groups` (RTMGRP_…). Returns a descriptor or a negative errno.
int sluice_route_socket(uint32_t groups);

#endif
