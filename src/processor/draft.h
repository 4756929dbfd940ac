/*
 * draft.h: folders that are there only while something is made: a backup, data
 * that is brought back, the scratch data of a verify. They have a name and the
 * process' id, and are held: what a process that died has left is known by
 * nobody holding it, and is removed when the next one of its kind is made.
 */
#ifndef STATOR_DRAFT_H
#define STATOR_DRAFT_H

#include "processor/processor.h"

typedef struct stator_draft {
	char *folder;
	int held; /* a descriptor of the folder, locked; -1: it is not there */
} stator_draft;

/* WHERE/PREFIX followed by the process' id, empty. The draft is closed or
 * removed even when this fails. */
int stator__draft_make(stator_draft *d, const char *where, const char *prefix,
		       stator_error *err);
/* It may have been renamed, and stays. */
void stator__draft_close(stator_draft *d);
void stator__draft_remove(stator_draft *d);

#endif
