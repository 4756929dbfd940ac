/*
 * log_backup.h: a copy of a store with a log, made while it is written.
 */
#ifndef STATOR_LOG_BACKUP_H
#define STATOR_LOG_BACKUP_H

#include "store/checkpoint.h"

/* The folder `from` has the log, and the tree that is open. */
int stator__log_backup(stator_store *tree, const char *from, const char *to,
		       const stator_copying *copying, stator_error *err);

#endif
