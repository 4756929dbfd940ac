/*
 * drain.h: waiting for a host's projectors, and saying so when it takes long.
 */
#ifndef STATOR_CLI_DRAIN_H
#define STATOR_CLI_DRAIN_H

#include "stator.h"

/* As `stator_host_drain`; every three seconds a line says what is left. */
void drain(stator_host *host);

#endif
