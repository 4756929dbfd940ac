/*
 * schema.h: the application definition: types, rows, ordered keys, and rows as
 * JSON. A definition is made once, from the schema files of an image, and does
 * not change; every thread may read it.
 */
#ifndef STATOR_SCHEMA_H
#define STATOR_SCHEMA_H

#include "base/base.h"
#include "base/cron.h"
#include "base/json.h"

/* Types --------------------------------------------------------------- */

enum stator_type_kind {
	STATOR_TYPE_OBJECT = 1,
	STATOR_TYPE_CDOC,
	STATOR_TYPE_WDOC,
	STATOR_TYPE_ODOC,
	STATOR_TYPE_GDOC,
	STATOR_TYPE_CRECORD,
	STATOR_TYPE_WRECORD,
	STATOR_TYPE_ORECORD,
	STATOR_TYPE_GRECORD,
	STATOR_TYPE_VIEW,    /* value of a view */
	STATOR_TYPE_KEY,     /* key of a view or of a storage */
	STATOR_TYPE_STORAGE  /* value of a storage that is not an entity's */
};

/* Fields that every document and record has, in this order. */
enum {
	STATOR_SYS_ID,
	STATOR_SYS_PARENT,
	STATOR_SYS_CONTAINER,
	STATOR_SYS_ACTIVE,
	STATOR_SYS_IS_NEW, /* set in events only */
	STATOR_SYS_COUNT
};

/* The first field of a key: the workspace, when it is not the run's. */
enum { STATOR_KEY_WSID };

enum { STATOR_ROW_HEADER = 8 };

/* What a field must satisfy beyond its kind. Behind `field->checks`. */
typedef struct stator_checks {
	const stator_type **refs; /* tables a ref may lead to; none: any */
	size_t ref_count;
	void *pattern; /* compiled regular expression, or NULL */
	const char *pattern_text;
	bool has_default;
	int64_t integer; /* the default, by kind */
	double real;
	stator_slice text;
	const char *file; /* where the field is declared */
	int line, col;
} stator_checks;

/* What a type has beyond its fields. Behind `type->extra`. */
typedef struct stator_type_info {
	bool abstract;
	bool singleton;
	const char *package;
	const char *workspace;	/* QName of where it is declared, or NULL */
	const stator_type *key; /* of a view */
	uint32_t partition_key; /* fields of that, the first */
	const char *file;	/* where it is declared */
	int line, col;
	uint32_t *by_name;	/* indexes of fields, sorted by name */
	const uint8_t *kinds;	/* 1: may be in workspaces of this kind */
	uint32_t kind;		/* of a descriptor: what it gives; or 0 */
} stator_type_info;

static inline const stator_type_info *
stator__type_info(const stator_type *type)
{
	return type->extra;
}

/* A field as it is given to `stator__type_make`. */
typedef struct stator_field_spec {
	const char *name;
	uint8_t kind;
	bool required;
	bool system;
	bool secret;
	uint32_t max;
	const stator_type *rows;
	const stator_checks *checks;
} stator_field_spec;

/*
 * A type in `arena`, with its layout. Documents and records get their system
 * fields, keys get WSID; `key_count` counts the ordered fields behind it.
 */
stator_type *stator__type_make(stator_arena *arena, const char *name,
			       uint32_t kind, const stator_field_spec *fields,
			       size_t count, uint32_t key_count);
/* The type of rows that a storage describes; `key` tells which kind. */
stator_type *stator__type_from_desc(stator_arena *arena, const char *name,
				    bool key, const stator_field_desc *fields,
				    size_t count);
/* The index of the field, or -1. */
int stator__type_find(const stator_type *type, const char *name, size_t size);
/* Adds "; did you mean Name?" for the name of a field, if one is close. */
void stator__type_guess(const stator_type *type, const char *name,
			size_t size, stator_error *err);
const char *stator__kind_name(uint32_t kind);
/* "CDoc", as the tables of package sys are called. */
const char *stator__type_kind_name(uint32_t kind);
/* Bytes in the fixed part of a row. */
uint32_t stator__kind_width(uint32_t kind);
/* Documents and records, which have system fields. */
bool stator__type_is_record(const stator_type *type);
/* Those of them that are kept one by one: not those of operations. */
bool stator__type_is_stored(const stator_type *type);

/* Rows ---------------------------------------------------------------- */

/* Where the value of a field stands, or NULL when it is null. */
static inline const uint8_t *
stator__row_at(const stator_row *row, const stator_field *f)
{
	uint32_t fixed = stator__u32(row->data + 4);

	if (f->null_at >= fixed || !(row->data[f->null_at] & f->present))
		return NULL;
	return row->data + f->at;
}

bool stator__row_int(const stator_row *row, uint32_t field, int64_t *out);
bool stator__row_float(const stator_row *row, uint32_t field, double *out);
bool stator__row_bytes(const stator_row *row, uint32_t field,
		       stator_slice *out);
uint32_t stator__row_count(const stator_row *row, uint32_t field);
/* One of several texts. */
bool stator__row_text(const stator_row *row, uint32_t field, uint32_t index,
		      stator_slice *text);
/* Finds nested types by their identifier: a definition. */
struct stator_def;
bool stator__row_child(const struct stator_def *def, const stator_row *row,
		       uint32_t field, uint32_t index, stator_row *child);
/*
 * Whether bytes from a place that is not trusted are a row of this type: every
 * offset lies inside.
 */
bool stator__row_sound(const stator_row *row);

/* Makes a row in an arena: begin, put, end. */
typedef struct stator_builder {
	stator_arena *arena;
	const stator_type *type;
	uint8_t *data;
	uint32_t size;
	uint32_t cap;
} stator_builder;

void stator__build(stator_builder *b, stator_arena *arena,
		   const stator_type *type);
/* Begins with all that a row has. */
void stator__build_from(stator_builder *b, stator_arena *arena,
			const stator_row *row);
/* Refuses what does not fit the field's kind; the message has no path. */
int stator__build_int(stator_builder *b, uint32_t field, int64_t value,
		      stator_error *err);
int stator__build_float(stator_builder *b, uint32_t field, double value,
			stator_error *err);
int stator__build_bytes(stator_builder *b, uint32_t field, stator_slice value,
			stator_error *err);
/* A text that is known to fit. */
void stator__build_known(stator_builder *b, uint32_t field,
			 stator_slice value);
int stator__build_rows(stator_builder *b, uint32_t field,
		       const stator_row *rows, uint32_t count,
		       stator_error *err);
/* Copies a field of another row of the same type. */
void stator__build_copy(stator_builder *b, uint32_t field,
			const stator_row *from);
bool stator__build_has(const stator_builder *b, uint32_t field);
/* Puts the DEFAULT of a field, if it has one. */
bool stator__build_default(stator_builder *b, uint32_t field);
stator_row stator__build_done(stator_builder *b);
/* The row, or one that has the defaults of what is null in it. */
stator_row stator__row_with_defaults(stator_arena *arena,
				     const stator_row *row);
/* A new row: the fields of `over` in place of those of `base`. */
stator_row stator__row_merge(stator_arena *arena, const stator_row *base,
			     const stator_row *over);
/* A copy of a row with other values in integer fields that are present. */
void stator__row_set_int(stator_row *row, uint32_t field, int64_t value);

/* Checks the constraints of one field that is present. */
int stator__field_check(const stator_field *f, stator_slice value,
			stator_error *err);
/* Checks NOT NULL and the constraints of a row that was made elsewhere. */
int stator__row_check(const stator_row *row, stator_error *err);

/* Ordered keys -------------------------------------------------------- */

/*
 * Appends the ordered fields of a key row, up to the first that is null;
 * `complete` tells whether there was none.
 */
int stator__key_encode(stator_buf *out, const stator_row *key, bool *complete,
		       stator_error *err);
int stator__key_decode(stator_arena *arena, const stator_type *type,
		       stator_slice bytes, stator_row *key, stator_error *err);
/* "{Year=2026, Month=5}", for messages; in `arena`. */
const char *stator__row_show(stator_arena *arena, const stator_row *row);

/* JSON ---------------------------------------------------------------- */

/* Where a value stands in a request, for messages: args.Items[2].Name */
typedef struct stator_path {
	const struct stator_path *up;
	const char *name; /* NULL: an index */
	size_t index;
	/* An element, if it is one: "sys.Record shop.Item" and its key. */
	const char *what;
	const stator_row *key;
} stator_path;

int stator__path_fail(const stator_path *path, stator_error *err, int code,
		      const char *format, ...) STATOR_PRINTF(4, 5);

typedef struct stator_json_opts {
	/* Raw IDs that are free are given from here to documents and records
	 * of operations; NULL: sys.ID must be given where it is wanted. */
	int64_t *next_raw_id;
	bool partial; /* an update: required fields may be absent */
} stator_json_opts;

int stator__row_from_json(stator_arena *arena, const stator_type *type,
			  const stator_json *json, const stator_path *path,
			  const stator_json_opts *opts, stator_row *out,
			  stator_error *err);

enum {
	STATOR_JSON_BARE = 0,
	STATOR_JSON_QNAME = 1, /* with sys.QName */
	STATOR_JSON_NO_ID = 2  /* without sys.ID */
};
/* Writes one object. */
void stator__row_to_json(stator_json_out *out, const struct stator_def *def,
			 const stator_row *row, int flags);

/* The definition ------------------------------------------------------ */

enum stator_ext_kind {
	STATOR_COMMAND = STATOR_COMMANDS,
	STATOR_QUERY = STATOR_QUERIES,
	STATOR_PROJECTOR = STATOR_PROJECTORS,
	STATOR_JOB = STATOR_JOBS
};

/* One storage named in STATE or INTENTS. */
typedef struct stator_storage_ref {
	const char *storage;
	const char **entities;
	size_t entity_count;
} stator_storage_ref;

enum {
	STATOR_ON_EXECUTE = 1,
	STATOR_ON_PARAM = 2,
	STATOR_ON_INSERT = 4,
	STATOR_ON_UPDATE = 8,
	STATOR_ON_ACTIVATE = 16,
	STATOR_ON_DEACTIVATE = 32
};

typedef struct stator_trigger {
	uint32_t ops;
	uint32_t *ids; /* of the names; hashes */
	size_t count;
} stator_trigger;

typedef struct stator_ext {
	const char *name; /* QName */
	const char *local; /* without the package */
	uint32_t id;
	uint32_t index; /* in def->exts */
	uint32_t kind;	/* one of stator_ext_kind */
	uint32_t package; /* in def->packages */
	const char *engine; /* "lua", "builtin", "wasm" */
	bool sync;
	bool errors; /* INCLUDING ERRORS */
	const stator_type *arg, *unlogged, *result;
	stator_storage_ref *state, *intents;
	size_t state_count, intent_count;
	stator_trigger *triggers;
	size_t trigger_count;
	stator_cron schedule; /* of a job */
	const char *cron;     /* the same, as it was written */
	const char *workspace;
	const uint8_t *kinds; /* 1: runs in workspaces of this kind */
	const char *file;
	int line, col;
} stator_ext;

typedef struct stator_storage_decl {
	const char *name; /* QName */
	const char *package;
	bool plugin;
	uint32_t entity;
	uint32_t scopes[STATOR_OP_COUNT];
	const char *config; /* JSON, or NULL */
	const char *file;
	int line, col;
} stator_storage_decl;

typedef struct stator_package {
	const char *path;
	const char *name;
} stator_package;

/* A WORKSPACE of the schema. */
typedef struct stator_workspace {
	const char *name;
	const char *descriptor; /* QName of its table, or NULL */
	const char **has;	/* itself, and what it inherits */
	size_t has_count;
} stator_workspace;

typedef struct stator_def {
	stator_arena arena;
	const char *app; /* of APPLICATION, or NULL */
	stator_package *packages;
	size_t package_count;
	stator_type **types; /* by identifier */
	size_t type_count;
	stator_ext *exts;
	size_t ext_count;
	const stator_ext **exts_by_id; /* sorted */
	const stator_ext **sync;       /* synchronous projectors */
	size_t sync_count;
	stator_storage_decl *storages;
	size_t storage_count;
	stator_workspace *workspaces;
	size_t workspace_count;
	/* Kinds of workspaces: those with a descriptor; 0 is no kind, and has
	 * all. They matter when a schema has several workspaces. */
	const stator_workspace **kinds;
	uint32_t kind_count;
	bool kinds_matter;
	const stator_type *raw; /* sys.Raw: any argument */
	const stator_type *event; /* sys.Event: how events are stored */
	void **patterns; /* compiled ones, to free */
	size_t pattern_count, pattern_cap;
} stator_def;

/* Something that is wrong with an image. */
typedef struct stator_problem {
	const char *file;
	int line, col; /* 0: the file as a whole */
	const char *message;
} stator_problem;

typedef struct stator_problems {
	stator_arena arena;
	stator_problem *items;
	size_t count, cap;
	/* Where what is right but worth a word goes; NULL: not asked for. */
	struct stator_problems *warnings;
} stator_problems;

void stator__problem(stator_problems *list, const char *file, int line,
		     int col, const char *format, ...) STATOR_PRINTF(5, 6);
void stator__problems_sort(stator_problems *list);
void stator__problems_free(stator_problems *list);

typedef struct stator_source {
	const char *path;    /* for messages */
	const char *package; /* full path of the package */
	stator_slice text;
} stator_source;

/*
 * Compiles schema files; `sys` is added. NULL when there were problems, which
 * are added to the list. Caller frees with `stator__def_free`.
 */
stator_def *stator__def_compile(const stator_source *sources, size_t count,
				stator_problems *problems);
void stator__def_free(stator_def *def);

const stator_type *stator__def_type(const stator_def *def, uint32_t id);
const stator_type *stator__def_type_named(const stator_def *def,
					  const char *name);
const stator_ext *stator__def_ext(const stator_def *def, uint32_t id);

/* Numbers the kinds of workspaces, and finds what may be where. */
void stator__kinds_find(stator_def *def);
/* The kind that a descriptor gives, named by the identifier of its table; 0:
 * none, or kinds do not matter. */
uint32_t stator__kind_given(const stator_def *def, uint32_t descriptor);

/* The fields of stored events: STATOR_EVENT_QNAME ... index the type. */
enum {
	STATOR_EVENT_WLOG_OFFSET,
	STATOR_EVENT_WORKSPACE,
	STATOR_EVENT_REGISTERED_AT,
	STATOR_EVENT_SYNCED_AT,
	STATOR_EVENT_DEVICE_ID,
	STATOR_EVENT_OFFSET,
	STATOR_EVENT_SYNCED,
	STATOR_EVENT_QNAME,
	STATOR_EVENT_ERROR,
	STATOR_EVENT_ARGUMENT,
	STATOR_EVENT_CUDS,
	STATOR_EVENT_COUNT
};

#endif
