/*
 * processor.h: requests to replies.
 *
 * Each partition has a thread that runs its commands and their synchronous
 * projectors, one after the other, and is the only one that writes. Commands
 * that wait together share one commit. Queries run on threads of the
 * application, each on the snapshot that was current when its turn came.
 * Asynchronous projectors of a partition run on one more thread, on snapshots,
 * and hand their bundles to the partition's thread to be committed.
 */
#ifndef STATOR_PROCESSOR_H
#define STATOR_PROCESSOR_H

#include "app/app.h"
#include "base/json.h"
#include "base/log.h"

/* Requests ------------------------------------------------------------------- */

typedef struct stator_request stator_request;

/* Memory of requests that have been replied to, for the next ones: one thread
 * takes it, another one gives it back. [any-thread] */
typedef struct stator_request_pool {
	pthread_mutex_t lock;
	stator_request *free;
	size_t count;
} stator_request_pool;

struct stator_request {
	stator_arena arena; /* all that belongs to it */
	stator_buf reply;   /* held until the commit */
	/* From here on anew for each request. */
	stator_request_pool *pool;
	const stator_json *json;
	const stator_json *id; /* NULL: none; replied as null */
	int64_t wsid;
	bool is_query;
	const char *app;  /* "owner/name", or NULL */
	const char *name; /* QName of command or query */
	const stator_json *args, *unlogged, *cuds, *subject, *origin;
	/* Of the host's clock: the time to go to, or the ms to go by. */
	int64_t clock;
	bool moves_by;
	stator_on_reply on_reply;
	void *ctx;
	int64_t status; /* of the reply */
	stator_request *next;
};

void stator__request_pool_open(stator_request_pool *pool);
void stator__request_pool_close(stator_request_pool *pool);
/* A request from its text, which is copied. `err` says what is wrong; there is
 * a request to reply to all the same. */
stator_request *stator__request_new(stator_request_pool *pool, const char *text,
				    size_t size, stator_error *err);
/* The command or query that it names; or a guess at what was meant. */
int stator__request_find(stator_request *r, const stator_def *def,
			 uint32_t kind, const stator_ext **ext,
			 stator_error *err);
/* Replies: begin, members, end. */
void stator__reply_begin(stator_json_out *out, stator_request *r, int64_t status);
void stator__reply_end(stator_json_out *out);
/* The status of a run that failed: its own, if it has answered itself. */
int64_t stator__reply_status(const stator_state *st, int code);
void stator__reply_error(stator_request *r, int64_t status,
			 const stator_error *err);
/* Gives the reply and frees the request. */
void stator__reply_send(stator_request *r);
/* The same of all requests of a list, which are of one host. NULL is none. */
void stator__reply_send_all(stator_request *first);

/* Rows of sys.Result of a command, kept until they are replied. */
typedef struct stator_rows {
	stator_row *items;
	size_t count, cap;
} stator_rows;

/* Records and their IDs --------------------------------------------------------- */

/* Clients and extensions number what is new up to here. */
enum { STATOR_RAW_ID_MOST = 65535 };

/* A record to be made or changed, of a request or of an intent. */
typedef struct stator_cud {
	stator_row row;	   /* for an update: the changed fields, and sys.ID */
	stator_row stored; /* as it will be kept */
	bool is_new;
	stator_path path; /* for messages */
} stator_cud;

typedef struct stator_raw_id {
	int64_t raw, id;
	const stator_type *type;
} stator_raw_id;

/* What a command writes: collected, then checked as a whole. */
typedef struct stator_changes {
	stator_worker *worker;
	int64_t wsid;
	stator_cud *cuds;
	size_t cud_count, cud_cap;
	stator_raw_id *ids; /* that were given, by their raw IDs */
	size_t id_count, id_cap;
	int64_t next_raw_id; /* above all that the request uses */
	int64_t next_id;     /* of the workspace */
	size_t opened;	     /* CUDs that are the request's */
	bool ran;	     /* the extension has seen the IDs that were given */
} stator_changes;

/* Empty ones, with the room that `ch` has. */
void stator__changes_begin(stator_changes *ch, stator_worker *worker,
			   int64_t wsid);
void stator__changes_free(stator_changes *ch);
/* The largest raw ID that is written anywhere in a request. */
int64_t stator__raw_id_most(const stator_json *json);
/* The CUDs of a request. */
int stator__changes_from_json(stator_changes *ch, const stator_json *cuds,
			      stator_error *err);
/*
 * Before the run: gives IDs for raw ones in the arguments and the CUDs of the
 * request, and checks their references.
 */
int stator__changes_open(stator_changes *ch, stator_row *const *arguments,
			 size_t count, stator_error *err);
/* After the run: adds its record intents, the same for them; then makes the
 * rows to be stored. */
int stator__changes_settle(stator_changes *ch, stator_error *err);
/* Replaces raw IDs in references of a row that is not stored (a result). */
void stator__changes_resolve(const stator_changes *ch, stator_row *row);

/* Kinds of workspaces ------------------------------------------------------------- */

/* What is kept of a workspace: the offset of its next event and the ID of its
 * next record; behind these its kind, if it has one. */
enum { STATOR_SEQUENCES = 16, STATOR_SEQUENCES_MOST = STATOR_SEQUENCES + 12 };

typedef struct stator_ws_kind {
	uint32_t descriptor; /* identifier of the table; 0: no kind */
	int64_t since;	     /* PLog offset of the event that gave it */
} stator_ws_kind;

void stator__kind_read(stator_slice sequences, stator_ws_kind *out);
/* Puts it behind the sequences; the size of both. */
size_t stator__kind_write(const stator_ws_kind *kind, uint8_t *sequences);
/* Whether a command may run in a workspace of this kind: NOT_FOUND if not. */
int stator__kind_check(const stator_def *def, const stator_ext *ext,
		       int64_t wsid, uint32_t kind, stator_error *err);
/* The same for a query, which finds the kind. */
int stator__kind_check_query(stator_worker *w, const stator_ext *ext,
			     int64_t wsid, stator_error *err);
/* The records of a command may be there; a descriptor gives its kind, with the
 * event that is to be. */
int stator__kind_settle(const stator_changes *ch, int64_t event,
			stator_ws_kind *kind, stator_error *err);
/* OK: the projector is of the kind that the workspace had at the event, or had
 * none; NONE otherwise. */
int stator__kind_wants(stator_worker *w, const stator_ext *ext,
		       const stator_row *event, stator_error *err);
/* The views that the run writes are of the kinds of their workspaces. */
int stator__kind_check_views(stator_worker *w, stator_error *err);

/* Running ---------------------------------------------------------------------- */

/* The thread of a partition, its queue, and what it has in hand. */
typedef struct stator_processor stator_processor;

/* What a command needs of its partition. */
typedef struct stator_commander {
	stator_worker *worker;	  /* runs the command */
	stator_worker *projector; /* runs its synchronous projectors */
	stator_map *map;	  /* writes of the group that is filled */
	stator_settlements settlements; /* of the command that runs */
	stator_changes changes;		/* likewise */
	stator_rows rows;
	int64_t plog_next; /* the offset of the next event */
} stator_commander;

/*
 * Runs one command: its reply is in the request, its writes are in the map, or
 * neither of them when it failed.
 */
void stator__command_run(stator_commander *c, stator_request *r);

/*
 * The argument called `name` ("args", "unlogged") as a row; none when the
 * extension takes none. `next_raw_id` numbers documents without sys.ID.
 */
int stator__argument_read(stator_worker *w, const stator_ext *ext,
			  const char *name, const stator_type *type,
			  const stator_json *json, int64_t *next_raw_id,
			  stator_row *out, stator_error *err);

/* Who sent the request, and from where, as far as it says. */
int stator__sender_read(stator_worker *w, const stator_request *r,
			stator_error *err);

/* Counts it and gives the reply. */
void stator__query_reply(const stator_partition *partition, stator_request *r);
/* Runs one query on the worker's view. */
void stator__query_run(stator_worker *w, stator_request *r);

/* Whether an event is one that the projector wants. */
bool stator__projector_wants(const stator_ext *ext, const stator_def *def,
			     const stator_row *event);
/* How long to wait behind this many tries: anything up to twice as long as
 * behind one less, and never more than `most`. */
int64_t stator__backoff_ms(uint64_t random, int64_t tries, int64_t first,
			   int64_t most);
/*
 * Writes down that a command has failed, where a projector INCLUDING ERRORS
 * waits for that: an event sys.Error.
 */
void stator__error_event(stator_commander *c, const stator_request *r,
			 const stator_ext *ext, const stator_error *err);
/* The worker's state is that of a run of the projector for the event. */
void stator__projector_begin(stator_worker *w, const stator_ext *ext,
			     const stator_row *event);
/* Runs one projector for an event; its writes go into the map. */
int stator__projector_run(stator_worker *w, const stator_ext *ext,
			  const stator_row *event, stator_map *map,
			  stator_settlements *settlements, stator_error *err);

/* Operators ---------------------------------------------------------------------- */

/* Whether it is the host that runs `ext`: it is of package sys. */
bool stator__operator_has(const stator_worker *w, const stator_ext *ext);
int stator__operator_command(stator_worker *w, const stator_ext *ext,
			     stator_error *err);
int stator__operator_query(stator_worker *w, const stator_ext *ext,
			   stator_error *err);

/* Effects ------------------------------------------------------------------------ */

typedef struct stator_effects stator_effects;

/* Puts the intents of the run that have effects into the outbox. */
void stator__effects_keep(stator_state *state, stator_map *map);
/* Whether there can be any. */
bool stator__effects_possible(const stator_registry *registry);
/* Runs effects with the worker, which outlives it. */
stator_effects *stator__effects_new(stator_worker *worker);
void stator__effects_free(stator_effects *effects);
/*
 * Runs what is in the outbox of the worker's snapshot, up to `most`; what is
 * done is taken out through `done`. True when nothing is left to be tried.
 */
bool stator__effects_run(stator_effects *effects, stator_map *done,
			 size_t most);

/* Keys of the partition's own space, in an arena. */
stator_slice stator__event_key(stator_arena *arena, int64_t plog_offset);
stator_slice stator__wlog_key(stator_arena *arena, int64_t wsid,
			      int64_t offset);
stator_slice stator__sequence_key(stator_arena *arena, int64_t wsid);
stator_slice stator__meta_key(stator_arena *arena, const char *name);
/* A number under a key; `value` stays as it is when there is none. */
int stator__number_get(const stator_view *view, stator_arena *arena,
		       stator_slice key, int64_t *value, stator_error *err);
void stator__number_put(stator_map *map, stator_slice key, int64_t value);
/* The next PLog offset of the partition is kept under this name. */
#define STATOR_META_PLOG "plog"

/* Puts the rows that sys.Result gets into `rows`. */
void stator__rows_collect(stator_rows *rows, stator_state *state);

/* Whether a reference leads to records that are kept one by one. */
bool stator__leads_to_stored(const stator_checks *checks);
/* Partitions' threads -------------------------------------------------------------- */

/* Requests that are under way, over all partitions. */
typedef struct stator_gauge {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t open;
	uint64_t queries; /* of these */
	bool closed;	  /* none is taken any more */
} stator_gauge;

/* One more; while there are too many queries, one waits, or gets false, as all
 * do once it is closed. */
bool stator__gauge_add(stator_gauge *gauge, bool query, bool wait);
void stator__gauge_done(stator_gauge *gauge, size_t count, bool queries);
void stator__gauge_wait(stator_gauge *gauge); /* until none is open */
void stator__gauge_close(stator_gauge *gauge);
bool stator__gauge_closed(stator_gauge *gauge);

typedef struct stator_query_pool stator_query_pool;
typedef struct stator_jobs stator_jobs;

/* How a partition is served. */
typedef struct stator_serving {
	uint32_t queue; /* requests that may wait */
	bool own;	/* by threads of the embedder, which call `run` */
	/* When something waits where nothing did, or NULL. */
	void (*on_work)(void *ctx, const char *app, uint32_t partition);
	void *ctx;
} stator_serving;

stator_processor *stator__processor_start(stator_partition *partition,
					  const stator_deployment *deployment,
					  const stator_serving *serving,
					  stator_gauge *gauge,
					  stator_query_pool *queries,
					  stator_problems *problems);
/*
 * Waits until something waits, at most so long (less than 0: for ever), and
 * serves all of it. NONE when the processor has been stopped.
 */
int stator__processor_run(stator_processor *p, int64_t timeout_ms,
			  size_t *served);
/* If this is the thread that runs it: serves all that waits. */
void stator__processor_help(stator_processor *p);
/* A thread serves what threads of the embedder do not, until `stop`. */
void stator__processor_attend(stator_processor *p);
/*
 * Makes what another deployment needs; when there are problems nothing has
 * changed. Then goes over to it, between two groups: what began on the old one
 * ends on it, and nothing of it is in use when that returns, but for its query
 * pool. Or drops what was made.
 */
int stator__processor_prepare(stator_processor *p,
			      const stator_deployment *deployment,
			      stator_query_pool *queries,
			      stator_problems *problems);
void stator__processor_switch(stator_processor *p);
void stator__processor_drop(stator_processor *p);
/* The request is taken, unless the queue is full: then this waits, or gives
 * false. */
bool stator__processor_submit(stator_processor *p, stator_request *r,
			      bool wait);
/* Waits until the asynchronous projectors have seen all events. */
void stator__processor_catch_up(stator_processor *p);
/* Its jobs; they are replaced when it goes over to another deployment. */
stator_jobs *stator__processor_jobs(stator_processor *p);
/* Answers everything that is queued, then stops its threads. */
void stator__processor_stop(stator_processor *p);
void stator__processor_free(stator_processor *p); /* behind `stop` */

stator_query_pool *stator__queries_start(stator_app *app,
					 const stator_deployment *deployment,
					 stator_gauge *gauge);
/* The request and the snapshot are taken. */
void stator__queries_submit(stator_query_pool *pool, stator_partition *partition,
			    stator_snapshot *snapshot, stator_request *r);
void stator__queries_stop(stator_query_pool *pool);

/* Groups ---------------------------------------------------------------------------- */

typedef struct stator_async stator_async;

/* Commands whose writes are committed together, with what awaits that. */
typedef struct stator_group {
	stator_map *map;
	stator_request *first, *last; /* replied to when it is durable */
	size_t count;
	stator_async *async; /* told of events up to the last one, or NULL */
	int64_t last_event;
	char apart[STATOR_LINE]; /* of the next group, which is another's */
} stator_group;

void stator__group_hold(stator_group *g, stator_request *r);
/* Makes its writes durable and replies to it; its map stays as it is. */
int stator__group_commit(stator_group *g, const stator_partition *partition,
			 stator_gauge *gauge, stator_error *err);
/* Replies to all that it holds; `failure` in place of their replies. */
void stator__group_reply(stator_group *g, const stator_partition *partition,
			 stator_gauge *gauge, const stator_error *failure);

/* A thread that commits groups, one at a time. */
typedef struct stator_committer stator_committer;

/* `on_done` is called on its thread, behind each group. */
stator_committer *stator__committer_start(stator_partition *partition,
					  stator_gauge *gauge,
					  void (*on_done)(void *ctx), void *ctx);
/* The group is borrowed until the wait, which comes before the next one. */
void stator__committer_take(stator_committer *c, stator_group *g);
/* Whether it has no group. It may have been done since. */
bool stator__committer_idle(const stator_committer *c);
/* Until it has nothing to do. */
void stator__committer_rest(stator_committer *c);
/* The same; OK, or once what became of the last group. */
int stator__committer_wait(stator_committer *c, stator_error *err);
/* NULL is none. */
void stator__committer_stop(stator_committer *c);

/* The thread of the asynchronous projectors of a partition. */
typedef int (*stator_async_commit)(void *ctx, stator_map *bundle,
				   stator_error *err);

/* Loads what it needs; NULL and problems when that does not work. */
stator_async *stator__async_new(stator_partition *partition,
				const stator_deployment *deployment,
				stator_async_commit commit, void *ctx,
				stator_problems *problems);
/* Goes on where the projectors were, on a thread of its own. */
int stator__async_start(stator_async *a, stator_error *err);
/* There are events up to this PLog offset. */
void stator__async_wake(stator_async *a, int64_t plog_offset);
/* There is something in the outbox, without a new event. */
void stator__async_poke(stator_async *a);
void stator__async_catch_up(stator_async *a);
void stator__async_stop(stator_async *a);

/* Where asynchronous projectors stand ------------------------------------------------------ */

/* What a projector fails on. */
typedef struct stator_trouble {
	int64_t event; /* its PLog offset; 0: there is no trouble */
	int64_t tries;
	int64_t at_ms; /* Unix time of the last one */
	bool parked;   /* it is not tried any more */
	const char *code, *error;
} stator_trouble;

typedef struct stator_standing {
	int64_t offset; /* of the last event that it has seen */
	int64_t last;	/* of the last event there is */
	bool rebuilding; /* its views are being dropped */
	stator_trouble trouble;
} stator_standing;

stator_slice stator__offset_key(stator_arena *arena, const char *projector);
stator_slice stator__rebuild_key(stator_arena *arena, const char *projector);
/* OK or NONE; its texts are in `arena`. */
int stator__trouble_get(const stator_view *view, stator_arena *arena,
			const char *projector, stator_trouble *out,
			stator_error *err);
void stator__trouble_put(stator_map *map, stator_arena *arena,
			 const char *projector, const stator_trouble *trouble);
void stator__trouble_drop(stator_map *map, stator_arena *arena,
			  const char *projector);
int stator__standing_get(const stator_view *view, stator_arena *arena,
			 const char *projector, stator_standing *out,
			 stator_error *err);
/* "running", "retrying", "parked", "rebuilding" */
const char *stator__standing_state(const stator_standing *standing);

/* The asynchronous projector after this one (NULL: the first), or NULL. */
const stator_ext *stator__async_next(const stator_def *def,
				     const stator_ext *after);
/* NULL and a guess at what was meant. */
const stator_ext *stator__async_named(const stator_def *def, stator_slice name,
				      stator_error *err);

/* What operators order; the entries of it go into the map. */
int stator__projector_retry(const stator_view *view, stator_map *map,
			    stator_arena *arena, const stator_ext *ext,
			    stator_error *err);
int stator__projector_skip(const stator_view *view, stator_map *map,
			   stator_arena *arena, const stator_ext *ext,
			   int64_t event, stator_error *err);
/* OK: it was told to skip the event; NONE otherwise. */
int stator__projector_skipped(const stator_view *view, stator_arena *arena,
			      const char *projector, int64_t event,
			      stator_error *err);
/* All such events, in order, in `arena`. */
int stator__projector_skips(const stator_view *view, stator_arena *arena,
			    const char *projector, int64_t **events,
			    size_t *count, stator_error *err);
int stator__projector_rebuild(const stator_def *def, stator_map *map,
			      stator_arena *arena, const stator_ext *ext,
			      stator_error *err);
/* Whether its views are its own, and views are all that it writes. */
int stator__projector_can_rebuild(const stator_def *def, const stator_ext *ext,
				  stator_error *err);
/*
 * Takes keys out of its views, through the map, until that has `most`: OK; or
 * NONE: these are the last, and with them it begins anew.
 */
int stator__projector_drop_views(const stator_view *view, stator_map *map,
				 stator_arena *arena, const stator_ext *ext,
				 size_t most, stator_error *err);
/* Jobs ------------------------------------------------------------------------------------ */

typedef struct stator_job_counts {
	uint64_t runs, failures;
} stator_job_counts;

/* What a partition remembers of a job in one of its workspaces. */
typedef struct stator_job_record {
	int64_t last;	   /* ticks behind this are still to be run */
	int64_t ran;	   /* tick of the last run; 0: there was none */
	uint32_t schedule; /* hash of it: ticks of another do not count */
	uint64_t runs, failures;
	stator_slice error; /* of the last run; empty: it was fine */
} stator_job_record;

/* OK, NONE or an error. The error's text is borrowed from the view. */
int stator__job_record_get(const stator_view *view, stator_arena *arena,
			   const stator_ext *ext, int64_t wsid,
			   stator_job_record *out, stator_error *err);

/* Their thread, in a partition. */
/* Loads what it needs; NULL and problems when that does not work. */
stator_jobs *stator__jobs_new(stator_partition *partition,
			      const stator_deployment *deployment,
			      stator_async_commit commit, void *ctx,
			      stator_problems *problems);
/* Goes on where the jobs were, on a thread of its own. */
int stator__jobs_start(stator_jobs *jobs, stator_error *err);
/* Waits for the run that is under way. */
void stator__jobs_stop(stator_jobs *jobs);
/*
 * By hand, where the clock is the embedder's: when the first tick is due,
 * STATOR_TIME_END when never; all that is due until then is to be run; waits
 * for that, and adds what there was since the last wait.
 */
int64_t stator__jobs_next(stator_jobs *jobs);
void stator__jobs_order(stator_jobs *jobs, int64_t until);
void stator__jobs_wait(stator_jobs *jobs, stator_job_counts *counts);

/* Metrics ------------------------------------------------------------------------------- */

typedef struct stator_host_counts {
	uint64_t open, queries; /* requests under way; queries of these */
	uint64_t refused;	/* that were not taken */
} stator_host_counts;

void stator__metrics_host(const stator_host_counts *counts,
			  stator_on_reply on_line, void *ctx);
void stator__metrics_app(const stator_app *app, stator_on_reply on_line,
			 void *ctx);

/* Dumps --------------------------------------------------------------------------------- */

/* OK when the application has that partition; -1 is all of them. */
int stator__dump_find(const stator_app *app, int64_t partition,
		      stator_error *err);
/* What the logs of partitions are made of, of damaged ones, too. */
int stator__dump_log(const stator_app *app, int64_t partition,
		     stator_on_reply on_line, void *ctx, stator_error *err);

#endif
