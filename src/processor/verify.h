/*
 * verify.h: the parts of stator_verify: a walk over what is stored, a replay of
 * the events, and a comparison of the two.
 */
#ifndef STATOR_VERIFY_H
#define STATOR_VERIFY_H

#include "processor/upkeep.h"

typedef struct stator_verifier {
	stator_upkeep up;
	const stator_app *app; /* the data */
	const stator_def *def;
	stator_arena arena; /* of what is looked at now */
	uint64_t problems;
	/* The partition at hand. */
	uint32_t partition;
	stator_view view;
	int64_t last_event; /* its PLog offset */
	uint64_t entries;   /* all that there is */
} stator_verifier;

/* Something that is wrong. Texts may be in the arena. */
typedef struct stator_finding {
	bool warning;
	const char *space; /* "plog", "wlog", "record", "view" ... */
	const char *name;  /* of a table, view or extension; NULL: none */
	int64_t wsid;	   /* 0: none */
	const char *key;   /* NULL: none */
	const char *wrong; /* what */
	const char *todo;
} stator_finding;

void stator__verify_say(stator_verifier *v, const stator_finding *f);

/* What to do about damage. */
extern const char stator__verify_damage[];

/* Space 's', package sys, letter: 6 bytes. */
enum { STATOR_SYS_PREFIX = STATOR_SPACE_SIZE + 1 };
bool stator__verify_in_sys(stator_slice key);

/* A key of a view behind its letter: which, whose, and its fields. */
typedef struct stator_view_place {
	uint32_t id;
	int64_t wsid;
	stator_slice fields;
} stator_view_place;
bool stator__verify_view_place(stator_slice key, stator_view_place *place);
/* The fields of a view's key, "{Year=2026}", or their bytes; in the arena. */
const char *stator__verify_view_key(stator_verifier *v, const stator_type *type,
				    stator_slice fields);
/* A number as text; in the arena. */
const char *stator__verify_number(stator_verifier *v, int64_t n);

/* Looks at every entry of the partition. */
int stator__verify_walk(stator_verifier *v, stator_error *err);

/* What a replay is made with. */
typedef struct stator_replayer stator_replayer;

/* The image, to run, and an empty folder for what its projectors write. */
int stator__replayer_new(stator_replayer **out, stator_verifier *v,
			 const char *image, const char *data,
			 stator_error *err);
/* Replays the events of the partition, then compares. */
int stator__verify_replay(stator_replayer *r, stator_error *err);
/* With the folder. */
void stator__replayer_free(stator_replayer *r);

/* Whether a view can be rebuilt from events, by its type's identifier. */
typedef bool (*stator_is_rebuilt)(void *ctx, uint32_t id);
/* Compares records and views of the partition with those of `other`. */
int stator__verify_compare(stator_verifier *v, const stator_view *other,
			   stator_is_rebuilt is_rebuilt, void *ctx,
			   stator_error *err);

#endif
