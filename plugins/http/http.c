/*
 * http.c: sys.Http, a request to an HTTP server and its answer.
 *
 *	for _, answer in state.read(Http { Url = "https://example.com/" }) do
 *	  if answer.StatusCode == 200 then use(answer.Body) end
 *	end
 *
 * One call is one request as the extension sees it, and several transfers:
 * `ask` repeats a transfer that the server put off, `exchange` follows
 * redirects. All of them together have the time that the key gives. Everything
 * of a call lives in `call`, so calls run side by side; only the idle
 * connections of the plugin are shared, behind a lock.
 *
 * What must stay true: a request that may have been carried out is not sent
 * again unless its method, or an Idempotency-Key, says that this is harmless;
 * what was meant for one origin is not told to another; bodies and headers are
 * never put into texts of errors or into the log.
 */
#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "stator_plugin.h"

enum {
	IDLE_MOST = 16,		  /* handles kept for later calls */
	CONNECTIONS = 4,	  /* open connections of one handle */
	FIRST_WAIT_MS = 20,
	LONGEST_WAIT_MS = 1000,
	KEY_BODY_MOST = 16 << 20,
	BODY_MOST = 256 << 20,	  /* what maxBodyBytes may be */
	HEADERS_MOST = 256 << 10,
	CALL_MS = 600000,
	TIMEOUT_MOST_MS = 590000 /* the end of a call needs a moment */
};

static const stator_field_desc key_fields[] = {
	{"Url", STATOR_STRING, 1, 0, 0, NULL, "http:// or https://"},
	{"Method", STATOR_STRING, 0, 0, 32, NULL, "GET unless given"},
	{"Header", STATOR_TEXTS, 0, 1, 0, NULL,
	 "\"name: value\", one or several; the last of a name counts"},
	{"Body", STATOR_BYTES, 0, 1, KEY_BODY_MOST, NULL, "what is sent"},
	{"HTTPClientTimeoutMilliseconds", STATOR_INT64, 0, 0, 0, NULL,
	 "for all of it, redirects and repetitions included"},
	{"HandleErrors", STATOR_BOOL, 0, 0, 0, NULL,
	 "true: no answer is a row with StatusCode 0 and Error"},
};

static const stator_field_desc value_fields[] = {
	{"StatusCode", STATOR_INT32, 0, 0, 0, NULL, "of the answer, or 0"},
	{"Body", STATOR_BYTES, 0, 0, BODY_MOST, NULL, "of the answer"},
	{"Header", STATOR_STRING, 0, 0, 2 * HEADERS_MOST, NULL,
	 "\"Name: value\" lines in the order of the answer"},
	{"Error", STATOR_STRING, 0, 0, 0, NULL, "why there is no answer"},
};

static const stator_field_desc config_fields[] = {
	{"timeoutMs", STATOR_INT64, 0, 0, 0, "20000",
	 "for keys without HTTPClientTimeoutMilliseconds"},
	{"maxRedirects", STATOR_INT64, 0, 0, 0, "10",
	 "more are an error; 0: redirects are answers like others"},
	{"maxRetries", STATOR_INT64, 0, 0, 0, "5",
	 "repetitions after 408, 429, 500, 502, 503 and 504"},
	{"maxBodyBytes", STATOR_INT64, 0, 0, 0, "16777216",
	 "a longer body of an answer is an error"},
	{"caFile", STATOR_STRING, 0, 0, 0, "\"\"",
	 "certificates to trust, PEM; empty: those of the system"},
	{"proxy", STATOR_STRING, 0, 1, 0, "\"\"",
	 "URL of a proxy; empty: none, whatever the environment says"},
};

enum {
	KEY_WSID,
	KEY_URL,
	KEY_METHOD,
	KEY_HEADER,
	KEY_BODY,
	KEY_TIMEOUT,
	KEY_HANDLE_ERRORS
};
enum { STATUS_CODE, BODY, HEADER, ERROR };
enum {
	CONFIG_TIMEOUT,
	CONFIG_REDIRECTS,
	CONFIG_RETRIES,
	CONFIG_BODY,
	CONFIG_CA_FILE,
	CONFIG_PROXY
};

typedef struct http {
	const stator_host_api *host;
	int64_t timeout_ms;
	int64_t redirects;
	int64_t retries;
	size_t body_most;
	char *ca_file; /* NULL: those of the system */
	char *proxy;
	pthread_mutex_t lock; /* guards the two below */
	CURL *idle[IDLE_MOST];
	size_t idle_count;
} http;

/* Bytes that arrive piece by piece. */
typedef struct buffer {
	char *data; /* of host->alloc */
	size_t size;
	size_t cap;
	size_t most;
} buffer;

typedef struct header {
	stator_slice name;
	stator_slice value;
} header;

/* One request on the wire: the first is the key's, others are redirects. */
typedef struct hop {
	const char *url;
	const char *method;
	stator_slice body;
	int with_body; /* also when it is empty */
	int foreign;   /* of another origin than the key's Url */
} hop;

/* One `read`. Strings are of the run's memory. */
typedef struct call {
	http *plugin;
	const stator_run *run;
	CURL *curl;
	hop hop;
	header *headers;
	uint32_t header_count;
	int handle_errors;
	int64_t timeout_ms;
	int64_t deadline; /* monotonic, ns */
	long status;
	buffer body;  /* of the answer */
	buffer lines; /* its headers */
	char refusal[80]; /* why a callback stopped the transfer, or empty */
	char text[CURL_ERROR_SIZE]; /* what curl says about a failure */
} call;

/* Bytes ------------------------------------------------------------------- */

static void
buffer_free(const http *p, buffer *b)
{
	p->host->free(b->data);
	memset(b, 0, sizeof(*b));
}

/* 0 when there would be more than `most`, or when there is no memory. */
static int
buffer_add(const http *p, buffer *b, const void *data, size_t size)
{
	if (size > b->most - b->size)
		return 0;
	if (size > b->cap - b->size) {
		size_t cap = 2 * (b->size + size) + 256;
		char *grown = p->host->alloc(cap);

		if (grown == NULL)
			return 0;
		if (b->size)
			memcpy(grown, b->data, b->size);
		p->host->free(b->data);
		b->data = grown;
		b->cap = cap;
	}
	if (size)
		memcpy(b->data + b->size, data, size);
	b->size += size;
	return 1;
}

/* A copy with a NUL behind it, or NULL when there is one inside of it. */
static const char *
text_of(const call *c, stator_slice s)
{
	char *copy;

	if (s.size && memchr(s.data, 0, s.size))
		return NULL;
	copy = c->plugin->host->run_alloc(c->run, s.size + 1);
	if (s.size)
		memcpy(copy, s.data, s.size);
	return copy;
}

static int
same_text(stator_slice s, const char *text)
{
	return s.size == strlen(text) &&
	       strncasecmp(s.data, text, s.size) == 0;
}

/* The length of the UTF-8 character at the front, 0 when there is none. */
static size_t
utf8_length(const uint8_t *p, size_t size)
{
	static const uint32_t lowest[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2
		 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
	uint32_t c = n > 1 ? p[0] & (0x7fu >> n) : p[0];

	if (n > size)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (n > 1 && (c < lowest[n] || c > 0x10ffff ||
		      (c >= 0xd800 && c <= 0xdfff)))
		return 0;
	return n;
}

/* Texts of curl may quote the server: only printable ASCII goes on. */
static void
tidy(char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

/* The key ----------------------------------------------------------------- */

static int32_t
misuse(const call *c, stator_error *err, const char *text)
{
	return c->plugin->host->fail(err, STATOR_EXTENSION_FAILED, "%s", text);
}

/* Whether these are characters of a name in HTTP: a token of RFC 9110. */
static int
is_token(stator_slice s)
{
	static const char others[] = "!#$%&'*+-.^_`|~";
	const char *p = s.data;

	for (size_t i = 0; i < s.size; i++) {
		char ch = p[i];
		int letter = (ch >= 'a' && ch <= 'z') ||
			     (ch >= 'A' && ch <= 'Z') ||
			     (ch >= '0' && ch <= '9');

		if (!letter && (ch == 0 || strchr(others, ch) == NULL))
			return 0;
	}
	return s.size > 0;
}

static int32_t
wrong_header(const call *c, stator_slice text, const char *what,
	     stator_error *err)
{
	enum { SHOWN = 40 };
	char shown[SHOWN + 1] = {0};

	/* What stands before a colon is a name; the rest may be a secret. */
	for (size_t i = 0; i < text.size && i < SHOWN; i++) {
		shown[i] = ((const char *)text.data)[i];
		if (shown[i] == ':')
			break;
		if (shown[i] < ' ' || shown[i] > '~')
			shown[i] = '?';
	}
	return c->plugin->host->fail(err, STATOR_EXTENSION_FAILED,
				     "Header \"%s\": %s", shown, what);
}

static stator_slice
trim(const char *from, const char *to)
{
	while (from < to && (*from == ' ' || *from == '\t'))
		from++;
	while (from < to && (to[-1] == ' ' || to[-1] == '\t'))
		to--;
	return (stator_slice){from, (size_t)(to - from)};
}

static int32_t
parse_header(const call *c, stator_slice text, header *out, stator_error *err)
{
	const char *from = text.data, *to = from + text.size;
	const char *colon = text.size ? memchr(from, ':', text.size) : NULL;

	if (colon == NULL)
		return wrong_header(c, text,
				    "has no ':'; write \"name: value\"", err);
	for (const char *p = from; p < to; p++)
		if (*p == '\r' || *p == '\n' || *p == 0)
			return wrong_header(c, text, "has a line end inside",
					    err);
	out->name = trim(from, colon);
	out->value = trim(colon + 1, to);
	if (!is_token(out->name))
		return wrong_header(c, text, "is not a name of a header", err);
	if (same_text(out->name, "Content-Length") ||
	    same_text(out->name, "Transfer-Encoding"))
		return wrong_header(c, text, "follows from Body; leave it out",
				    err);
	return STATOR_OK;
}

static header *
find_header(const call *c, const char *name)
{
	for (uint32_t i = 0; i < c->header_count; i++)
		if (same_text(c->headers[i].name, name))
			return &c->headers[i];
	return NULL;
}

static int32_t
take_headers(call *c, const stator_row *key, stator_error *err)
{
	const stator_host_api *host = c->plugin->host;
	uint32_t count = host->row_count(key, KEY_HEADER);

	c->headers = host->run_alloc(c->run, (count + 1) * sizeof(header));
	for (uint32_t i = 0; i < count; i++) {
		stator_slice text;
		header h, *earlier;
		const char *name;
		int32_t code;

		if (!host->row_text(key, KEY_HEADER, i, &text))
			continue;
		code = parse_header(c, text, &h, err);
		if (code)
			return code;
		name = text_of(c, h.name);
		earlier = find_header(c, name);
		*(earlier ? earlier : &c->headers[c->header_count++]) = h;
	}
	return STATOR_OK;
}

static int32_t
take_method(call *c, const stator_row *key, stator_error *err)
{
	stator_slice text = {"GET", 3};
	const char *method;

	c->plugin->host->row_bytes(key, KEY_METHOD, &text);
	if (!is_token(text) || same_text(text, "CONNECT"))
		return misuse(c, err, "Method: expected a method such as GET");
	method = c->hop.method = text_of(c, text);
	c->hop.with_body = c->hop.body.size > 0 ||
			   strcmp(method, "POST") == 0 ||
			   strcmp(method, "PUT") == 0 ||
			   strcmp(method, "PATCH") == 0;
	if (c->hop.with_body && strcmp(method, "HEAD") == 0)
		return misuse(c, err, "Body: a HEAD request has none");
	return STATOR_OK;
}

static int32_t
take_key(call *c, const stator_row *key, stator_error *err)
{
	const stator_host_api *host = c->plugin->host;
	stator_slice url;
	int64_t handle = 0;
	int32_t code;

	if (!host->row_bytes(key, KEY_URL, &url) || url.size == 0)
		return misuse(c, err, "Url: not found; the key needs one");
	c->hop.url = text_of(c, url);
	if (c->hop.url == NULL)
		return misuse(c, err, "Url: has a zero byte inside");
	host->row_bytes(key, KEY_BODY, &c->hop.body);
	code = take_method(c, key, err);
	if (code == STATOR_OK)
		code = take_headers(c, key, err);
	if (code)
		return code;
	host->row_int(key, KEY_HANDLE_ERRORS, &handle);
	c->handle_errors = handle != 0;
	c->timeout_ms = c->plugin->timeout_ms;
	host->row_int(key, KEY_TIMEOUT, &c->timeout_ms);
	if (c->timeout_ms < 1)
		return misuse(c, err, "HTTPClientTimeoutMilliseconds: expected "
				      "at least 1");
	if (c->timeout_ms > TIMEOUT_MOST_MS)
		c->timeout_ms = TIMEOUT_MOST_MS;
	c->deadline = host->monotonic_ns() + c->timeout_ms * 1000000;
	return STATOR_OK;
}

/* One transfer ------------------------------------------------------------ */

static size_t
on_body(char *data, size_t one, size_t size, void *ctx)
{
	call *c = ctx;

	(void)one;
	if (buffer_add(c->plugin, &c->body, data, size))
		return size;
	snprintf(c->refusal, sizeof(c->refusal),
		 "the body is longer than maxBodyBytes, %zu",
		 c->plugin->body_most);
	return 0;
}

/* Names as Go and browsers' tools write them, also those of HTTP/2. */
static void
canonical(char *name, size_t size)
{
	int first = 1;

	for (size_t i = 0; i < size; i++) {
		if (first && name[i] >= 'a' && name[i] <= 'z')
			name[i] = (char)(name[i] - 'a' + 'A');
		else if (!first && name[i] >= 'A' && name[i] <= 'Z')
			name[i] = (char)(name[i] - 'A' + 'a');
		first = name[i] == '-';
	}
}

/* Appends text; what is not UTF-8 was ISO-8859-1, says RFC 9110. */
static int
add_text(call *c, stator_slice s)
{
	const uint8_t *p = s.data;
	size_t left = s.size;

	while (left) {
		size_t n = utf8_length(p, left);
		char two[2] = {(char)(0xc0 | p[0] >> 6),
			       (char)(0x80 | (p[0] & 0x3f))};

		if (!(n ? buffer_add(c->plugin, &c->lines, p, n)
			: buffer_add(c->plugin, &c->lines, two, 2)))
			return 0;
		p += n ? n : 1;
		left -= n ? n : 1;
	}
	return 1;
}

/* One line of headers: "Name: value\n" behind the others. */
static int
add_line(call *c, stator_slice line)
{
	const char *from = line.data, *to = from + line.size;
	const char *colon = memchr(from, ':', line.size);
	size_t start = c->lines.size;
	stator_slice value;

	if (*from == ' ' || *from == '\t') {
		/* The rest of the line before it, in an old notation. */
		if (c->lines.size)
			c->lines.data[c->lines.size - 1] = ' ';
		return add_text(c, trim(from, to)) &&
		       buffer_add(c->plugin, &c->lines, "\n", 1);
	}
	if (colon == NULL)
		return 1;
	if (!add_text(c, trim(from, colon)))
		return 0;
	canonical(c->lines.data + start, c->lines.size - start);
	value = trim(colon + 1, to);
	return buffer_add(c->plugin, &c->lines, ": ", 2) &&
	       add_text(c, value) && buffer_add(c->plugin, &c->lines, "\n", 1);
}

static size_t
on_header(char *data, size_t one, size_t size, void *ctx)
{
	call *c = ctx;
	stator_slice line = {data, size};

	(void)one;
	while (line.size && strchr("\r\n", data[line.size - 1]) &&
	       data[line.size - 1])
		line.size--;
	/* An answer begins, maybe after "100 Continue". */
	if (line.size >= 5 && memcmp(data, "HTTP/", 5) == 0)
		c->lines.size = 0;
	else if (line.size && !add_line(c, line)) {
		snprintf(c->refusal, sizeof(c->refusal),
			 "the headers are longer than %d bytes", HEADERS_MOST);
		return 0;
	}
	return size;
}

static int
is_for_origin(stator_slice name)
{
	return same_text(name, "Authorization") || same_text(name, "Cookie") ||
	       same_text(name, "Proxy-Authorization") ||
	       same_text(name, "Host");
}

static int
is_of_body(stator_slice name)
{
	return name.size > 8 && strncasecmp(name.data, "Content-", 8) == 0;
}

static int
add_to(struct curl_slist **list, const char *line)
{
	struct curl_slist *longer = curl_slist_append(*list, line);

	if (longer)
		*list = longer;
	return longer != NULL;
}

/* The headers of a hop as curl takes them; caller frees, NULL: no memory. */
static struct curl_slist *
header_list(const call *c)
{
	struct curl_slist *list = NULL;
	int ok = 1;

	/* Without a value: curl leaves out what it would add by itself. */
	if (find_header(c, "Expect") == NULL)
		ok = add_to(&list, "Expect:");
	if (find_header(c, "Content-Type") == NULL)
		ok = ok && add_to(&list, "Content-Type:");
	for (uint32_t i = 0; i < c->header_count; i++) {
		const header *h = &c->headers[i];
		char *line;

		if ((c->hop.foreign && is_for_origin(h->name)) ||
		    (!c->hop.with_body && is_of_body(h->name)))
			continue;
		line = c->plugin->host->run_alloc(
			c->run, h->name.size + h->value.size + 3);
		memcpy(line, h->name.data, h->name.size);
		if (h->value.size) {
			memcpy(line + h->name.size, ": ", 2);
			memcpy(line + h->name.size + 2, h->value.data,
			       h->value.size);
		} else {
			/* curl's way to write an empty value. */
			line[h->name.size] = ';';
		}
		ok = ok && add_to(&list, line);
	}
	if (ok)
		return list;
	curl_slist_free_all(list);
	return NULL;
}

static int
is_one_of(const char *text, const char *const *list)
{
	for (; *list; list++)
		if (strcmp(text, *list) == 0)
			return 1;
	return 0;
}

/* Whether doing it twice is the same as doing it once. */
static int
is_repeatable(const call *c)
{
	static const char *const methods[] = {"GET",	 "HEAD",  "PUT",
					      "DELETE",	 "TRACE", "OPTIONS",
					      NULL};

	return is_one_of(c->hop.method, methods) ||
	       find_header(c, "Idempotency-Key") ||
	       find_header(c, "X-Idempotency-Key");
}

static void
set_method(const call *c)
{
	CURL *curl = c->curl;

	if (strcmp(c->hop.method, "HEAD") == 0) {
		curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
		return;
	}
	if (c->hop.with_body) {
		curl_easy_setopt(curl, CURLOPT_POST, 1L);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
				 (curl_off_t)c->hop.body.size);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS,
				 c->hop.body.size ? c->hop.body.data : "");
	}
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, c->hop.method);
	/*
	 * Rationale: when a kept connection breaks before the first byte of
	 * an answer, curl sends the request again on a new one.
	 */
	curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT,
			 is_repeatable(c) ? 0L : 1L);
}

static void
set_options(call *c, int64_t left_ms, struct curl_slist *headers)
{
	CURL *curl = c->curl;

	curl_easy_reset(curl);
	curl_easy_setopt(curl, CURLOPT_URL, c->hop.url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "stator-http/1.0");
	curl_easy_setopt(curl, CURLOPT_PROXY, c->plugin->proxy);
	curl_easy_setopt(curl, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	if (c->plugin->ca_file)
		curl_easy_setopt(curl, CURLOPT_CAINFO, c->plugin->ca_file);
	/* Signals belong to the process: no alarm for names, no SIGPIPE. */
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)left_ms);
	curl_easy_setopt(curl, CURLOPT_MAXCONNECTS, (long)CONNECTIONS);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, c->text);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, c);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, c);
	set_method(c);
}

static int32_t
no_answer(const call *c, stator_error *err, const char *text)
{
	return c->plugin->host->fail(err, STATOR_STORAGE_FAILED, "%s", text);
}

static int32_t
transfer(call *c, stator_error *err)
{
	const stator_host_api *host = c->plugin->host;
	int64_t left = (c->deadline - host->monotonic_ns()) / 1000000;
	struct curl_slist *headers;
	CURLcode code;

	if (left < 1)
		return host->fail(err, STATOR_STORAGE_FAILED,
				  "timed out after %lld ms",
				  (long long)c->timeout_ms);
	headers = header_list(c);
	if (headers == NULL)
		return host->fail(err, STATOR_NO_MEMORY, "out of memory");
	c->body.size = c->lines.size = 0;
	c->refusal[0] = c->text[0] = 0;
	set_options(c, left, headers);
	code = curl_easy_perform(c->curl);
	curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &c->status);
	/* The list is the caller's, and the handle is used again. */
	curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, NULL);
	curl_slist_free_all(headers);
	if (code == CURLE_OK)
		return STATOR_OK;
	tidy(c->text);
	if (c->refusal[0])
		return no_answer(c, err, c->refusal);
	return no_answer(c, err,
			 c->text[0] ? c->text : curl_easy_strerror(code));
}

/* Repetitions and redirects ----------------------------------------------- */

/* Whether the server says that it did not do it, or that it may be asked
 * again. */
static int
is_put_off(const call *c)
{
	switch (c->status) {
	case 408:
	case 429:
	case 503:
		return 1;
	case 500:
	case 502:
	case 504:
		return is_repeatable(c);
	default:
		return 0;
	}
}

/* Waits before the next try; 0 when there is no time left for it. */
static int
wait_for_next(const call *c, int64_t *wait_ms)
{
	curl_off_t after = 0;
	int64_t ms = *wait_ms, now = c->plugin->host->monotonic_ns();
	struct timespec pause;

	curl_easy_getinfo(c->curl, CURLINFO_RETRY_AFTER, &after);
	if (after > TIMEOUT_MOST_MS / 1000)
		return 0;
	if (after > 0)
		ms = after * 1000;
	if (now + ms * 1000000 >= c->deadline)
		return 0;
	pause.tv_sec = (time_t)(ms / 1000);
	pause.tv_nsec = (long)(ms % 1000) * 1000000;
	while (nanosleep(&pause, &pause))
		;
	*wait_ms = *wait_ms * 2 > LONGEST_WAIT_MS ? LONGEST_WAIT_MS
						 : *wait_ms * 2;
	return 1;
}

/* The answer to one hop, asked for until the server gives another than "not
 * now", or time or patience end: then that is the answer. */
static int32_t
ask(call *c, stator_error *err)
{
	int64_t wait_ms = FIRST_WAIT_MS;

	for (int64_t tries = 0;; tries++) {
		int32_t code = transfer(c, err);

		if (code || !is_put_off(c) || tries >= c->plugin->retries ||
		    !wait_for_next(c, &wait_ms))
			return code;
	}
}

/* Only these two, whatever else this curl can do: no files, no mail. */
static int32_t
check_url(const call *c, CURLU *u, const char *url, stator_error *err)
{
	CURLUcode code = curl_url_set(u, CURLUPART_URL, url,
				      CURLU_NON_SUPPORT_SCHEME);
	char *scheme = NULL;
	int good;

	if (code == CURLUE_OK)
		code = curl_url_get(u, CURLUPART_SCHEME, &scheme, 0);
	if (code == CURLUE_OUT_OF_MEMORY)
		return c->plugin->host->fail(err, STATOR_NO_MEMORY,
					     "out of memory");
	if (code)
		return c->plugin->host->fail(err, STATOR_STORAGE_FAILED,
					     "Url: %s",
					     curl_url_strerror(code));
	good = strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0;
	curl_free(scheme);
	return good ? STATOR_OK
		    : no_answer(c, err, "Url: expected http:// or https://");
}

static int
same_part(CURLU *a, CURLU *b, CURLUPart part)
{
	char *x = NULL, *y = NULL;
	int same = curl_url_get(a, part, &x, CURLU_DEFAULT_PORT) == CURLUE_OK &&
		   curl_url_get(b, part, &y, CURLU_DEFAULT_PORT) == CURLUE_OK &&
		   strcasecmp(x, y) == 0;

	curl_free(x);
	curl_free(y);
	return same;
}

/* Checks where a redirect leads, and whether that is another origin. */
static int32_t
check_target(call *c, const char *target, stator_error *err)
{
	CURLU *here = curl_url(), *there = curl_url();
	int32_t code = STATOR_NO_MEMORY;

	if (here && there)
		code = check_url(c, here, c->hop.url, err);
	if (code == STATOR_OK)
		code = check_url(c, there, target, err);
	if (code == STATOR_OK && !(same_part(here, there, CURLUPART_SCHEME) &&
				   same_part(here, there, CURLUPART_HOST) &&
				   same_part(here, there, CURLUPART_PORT)))
		c->hop.foreign = 1;
	curl_url_cleanup(here);
	curl_url_cleanup(there);
	return code;
}

/* The hop that a redirect asks for. */
static int32_t
follow(call *c, const char *location, stator_error *err)
{
	stator_slice text = {location, strlen(location)};
	const char *target = text_of(c, text);
	int32_t code = check_target(c, target, err);
	int keeps = c->status == 307 || c->status == 308 ||
		    strcmp(c->hop.method, "GET") == 0 ||
		    strcmp(c->hop.method, "HEAD") == 0;

	c->hop.url = target;
	if (!keeps) {
		c->hop.method = "GET";
		c->hop.body = (stator_slice){NULL, 0};
		c->hop.with_body = 0;
	}
	return code;
}

static int
is_redirect(long status)
{
	return status == 301 || status == 302 || status == 303 ||
	       status == 307 || status == 308;
}

static int32_t
exchange(call *c, stator_error *err)
{
	int32_t code = check_target(c, c->hop.url, err);

	for (int64_t n = 0; code == STATOR_OK; n++) {
		char *location = NULL;

		code = ask(c, err);
		if (code || c->plugin->redirects == 0 ||
		    !is_redirect(c->status))
			return code;
		curl_easy_getinfo(c->curl, CURLINFO_REDIRECT_URL, &location);
		if (location == NULL)
			return STATOR_OK;
		if (n == c->plugin->redirects)
			return c->plugin->host->fail(
				err, STATOR_STORAGE_FAILED,
				"more than %lld redirects (maxRedirects)",
				(long long)n);
		code = follow(c, location, err);
	}
	return code;
}

/* Handles ----------------------------------------------------------------- */

static CURL *
take_handle(http *p)
{
	CURL *curl = NULL;

	pthread_mutex_lock(&p->lock);
	if (p->idle_count)
		curl = p->idle[--p->idle_count];
	pthread_mutex_unlock(&p->lock);
	return curl ? curl : curl_easy_init();
}

static void
give_back(http *p, CURL *curl)
{
	/* Nothing of the call stays behind but open connections. */
	curl_easy_reset(curl);
	pthread_mutex_lock(&p->lock);
	if (p->idle_count < IDLE_MOST) {
		p->idle[p->idle_count++] = curl;
		curl = NULL;
	}
	pthread_mutex_unlock(&p->lock);
	curl_easy_cleanup(curl);
}

/* The row ----------------------------------------------------------------- */

typedef struct answer {
	stator_cursor cursor; /* the first: a cursor is its answer */
	stator_row key;
	stator_row value;
	int given;
} answer;

static int32_t
answer_next(stator_cursor *cursor, stator_row *key, stator_row *value,
	    stator_error *err)
{
	answer *a = (answer *)(void *)cursor;

	(void)err;
	if (a->given)
		return STATOR_NONE;
	a->given = 1;
	*key = a->key;
	*value = a->value;
	return STATOR_OK;
}

/* The answer is of the run's memory. */
static void
answer_release(stator_cursor *cursor)
{
	(void)cursor;
}

static int32_t
row_of_answer(const call *c, const stator_type *type, stator_row *row,
	      stator_error *err)
{
	const stator_host_api *host = c->plugin->host;
	struct stator_builder *b = host->row_begin(c->run, type);
	stator_slice body = {c->body.data, c->body.size};
	stator_slice lines = {c->lines.data, c->lines.size};
	int32_t code = host->put_int(b, STATUS_CODE, c->status, err);

	if (code == STATOR_OK)
		code = host->put_bytes(b, BODY, body, err);
	if (code == STATOR_OK)
		code = host->put_bytes(b, HEADER, lines, err);
	return code ? code : host->row_end(b, row, err);
}

static int32_t
row_of_failure(const call *c, const stator_type *type, stator_row *row,
	       stator_error *err)
{
	const stator_host_api *host = c->plugin->host;
	struct stator_builder *b = host->row_begin(c->run, type);
	stator_slice text = {err->msg, strlen(err->msg)};
	int32_t code = host->put_int(b, STATUS_CODE, 0, err);

	if (code == STATOR_OK)
		code = host->put_bytes(b, BODY, text, err);
	if (code == STATOR_OK)
		code = host->put_bytes(b, ERROR, text, err);
	return code ? code : host->row_end(b, row, err);
}

/* Asks, and makes the row of what came of it. */
static int32_t
carry_out(call *c, const stator_type *type, stator_row *row,
	  stator_error *err)
{
	http *p = c->plugin;
	int32_t code = STATOR_NO_MEMORY;

	c->curl = take_handle(p);
	c->body.most = p->body_most;
	c->lines.most = HEADERS_MOST;
	if (c->curl)
		code = exchange(c, err);
	else
		p->host->fail(err, code, "out of memory");
	if (code == STATOR_OK)
		code = row_of_answer(c, type, row, err);
	else if (code == STATOR_STORAGE_FAILED && c->handle_errors)
		code = row_of_failure(c, type, row, err);
	if (c->curl)
		give_back(p, c->curl);
	buffer_free(p, &c->body);
	buffer_free(p, &c->lines);
	return code;
}

/*
 * The request is made here and not by the cursor: a request that was asked for
 * is sent, also when nobody looks at the answer.
 */
static int32_t
read_answer(void *self, const stator_run *run, const stator_use *use,
	    const stator_row *key, const stator_read_opts *opts,
	    stator_cursor **cursor, stator_error *err)
{
	http *p = self;
	call *c = p->host->run_alloc(run, sizeof(*c));
	answer *a = p->host->run_alloc(run, sizeof(*a));
	stator_slice key_bytes = {key->data, key->size};
	int32_t code;

	(void)opts;
	c->plugin = p;
	c->run = run;
	code = take_key(c, key, err);
	if (code == STATOR_OK)
		code = carry_out(c, use->value, &a->value, err);
	if (code == STATOR_OK)
		code = p->host->row_load(run, use->key, key_bytes, &a->key,
					 err);
	a->cursor.next = answer_next;
	a->cursor.release = answer_release;
	*cursor = &a->cursor;
	return code;
}

/* Life of the plugin ------------------------------------------------------ */

static int64_t
config_int(const http *p, const stator_row *config, uint32_t field)
{
	int64_t n = 0;

	p->host->row_int(config, field, &n);
	return n;
}

/* A copy that lasts as long as the plugin; NULL: no memory. */
static char *
config_text(const http *p, const stator_row *config, uint32_t field)
{
	stator_slice text = {"", 0};
	char *copy;

	p->host->row_bytes(config, field, &text);
	copy = p->host->alloc(text.size + 1);
	if (copy && text.size)
		memcpy(copy, text.data, text.size);
	return copy;
}

static int32_t
wrong_config(const http *p, const char *name, int64_t low, int64_t high,
	     stator_error *err)
{
	return p->host->fail(err, STATOR_IMAGE,
			     "config.%s: expected %lld to %lld", name,
			     (long long)low, (long long)high);
}

static int32_t
configure(http *p, const stator_row *config, stator_error *err)
{
	int64_t body = config_int(p, config, CONFIG_BODY);

	p->timeout_ms = config_int(p, config, CONFIG_TIMEOUT);
	p->redirects = config_int(p, config, CONFIG_REDIRECTS);
	p->retries = config_int(p, config, CONFIG_RETRIES);
	if (p->timeout_ms < 1 || p->timeout_ms > TIMEOUT_MOST_MS)
		return wrong_config(p, "timeoutMs", 1, TIMEOUT_MOST_MS, err);
	if (p->redirects < 0 || p->redirects > 100)
		return wrong_config(p, "maxRedirects", 0, 100, err);
	if (p->retries < 0 || p->retries > 100)
		return wrong_config(p, "maxRetries", 0, 100, err);
	if (body < 1 || body > BODY_MOST)
		return wrong_config(p, "maxBodyBytes", 1, BODY_MOST, err);
	p->body_most = (size_t)body;
	p->proxy = config_text(p, config, CONFIG_PROXY);
	p->ca_file = config_text(p, config, CONFIG_CA_FILE);
	if (p->proxy == NULL || p->ca_file == NULL)
		return p->host->fail(err, STATOR_NO_MEMORY, "out of memory");
	if (p->ca_file[0] == 0) {
		p->host->free(p->ca_file);
		p->ca_file = NULL;
	}
	return STATOR_OK;
}

static void
finit(void *plugin)
{
	http *p = plugin;

	while (p->idle_count)
		curl_easy_cleanup(p->idle[--p->idle_count]);
	pthread_mutex_destroy(&p->lock);
	p->host->free(p->ca_file);
	p->host->free(p->proxy);
	p->host->free(p);
	/* curl counts: another version of the plugin goes on using it. */
	curl_global_cleanup();
}

static int32_t
init(const stator_host_api *host, const stator_row *configs, void **plugin,
     stator_error *err)
{
	http *p = host->alloc(sizeof(*p));
	int32_t code;

	if (p == NULL)
		return host->fail(err, STATOR_NO_MEMORY, "out of memory");
	if (curl_global_init(CURL_GLOBAL_DEFAULT)) {
		host->free(p);
		return host->fail(err, STATOR_IMAGE, "curl does not start");
	}
	p->host = host;
	pthread_mutex_init(&p->lock, NULL);
	code = configure(p, &configs[0], err);
	if (code)
		finit(p);
	else
		*plugin = p;
	return code;
}

static const stator_storage storage = {
	.abi = STATOR_ABI,
	.size = sizeof(stator_storage),
	.name = "Http",
	.help = "an HTTP request and its answer",
	.scopes = {0, 0,
		   STATOR_QUERIES | STATOR_PROJECTORS | STATOR_JOBS, 0, 0},
	.call_ms = CALL_MS,
	.key_fields = key_fields,
	.key_field_count = sizeof(key_fields) / sizeof(key_fields[0]),
	.value_fields = value_fields,
	.value_field_count = sizeof(value_fields) / sizeof(value_fields[0]),
	.config_fields = config_fields,
	.config_field_count = sizeof(config_fields) / sizeof(config_fields[0]),
	.read = read_answer,
};

static const stator_storage *const storages[] = {&storage};

const stator_plugin stator_plugin_entry = {
	.abi = STATOR_ABI,
	.size = sizeof(stator_plugin),
	.name = "http",
	.version = "1.0.0",
	.description = "requests to HTTP servers",
	.flags = STATOR_CONCURRENT,
	.storages = storages,
	.storage_count = 1,
	.init = init,
	.finit = finit,
};
