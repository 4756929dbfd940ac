/*
 * sendmail.c: sys.SendMail, mails by SMTP.
 *
 *	local sent = state.get(SendMail { Host = "mx.example.com", Port = 587,
 *	  From = "Shop <shop@example.com>", To = "me@example.com",
 *	  Subject = "Your order", Body = "<p>Thank you!</p>" })
 *	if not sent.Success then state.log(2, sent.ErrorMessage) end
 *
 *	state.new(SendMail { ... })	-- after the commit, at least once
 *
 * A call parses its key into a `mail` (`take_key`), writes it as a message of
 * RFC 5322 (`compose`), and hands that to the server in one SMTP dialogue of
 * its own (`deliver`). Nothing is shared between calls but the configuration.
 *
 * What must stay true: no text of the key can become a header, a recipient or
 * a command of its own; either all recipients were accepted or nothing was
 * sent; a password goes over an encrypted connection unless the operator said
 * otherwise; the same intent has the same Message-ID each time it is sent.
 */
#include <curl/curl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "stator_plugin.h"

enum {
	BODY_MOST = 16 << 20,
	LOCAL_MOST = 64,   /* of an address, before its @ */
	DOMAIN_MOST = 255,
	PLAIN_MOST = 60,   /* longer texts of headers are encoded and folded */
	WORD_BYTES = 39,   /* of text in one encoded word */
	LINE_BYTES = 57,   /* of the body in one line of base64 */
	CALL_MS = 600000,
	TIMEOUT_MOST_MS = 290000 /* a farewell may take as long again */
};

static const stator_field_desc key_fields[] = {
	{"From", STATOR_STRING, 1, 0, 0, NULL,
	 "\"a@example.com\" or \"Name <a@example.com>\""},
	{"To", STATOR_TEXTS, 1, 0, 0, NULL, "like From, one or several"},
	{"CC", STATOR_TEXTS, 0, 0, 0, NULL, "like To"},
	{"BCC", STATOR_TEXTS, 0, 0, 0, NULL, "like To; others do not see it"},
	{"Subject", STATOR_STRING, 0, 0, 0, NULL, "one line"},
	{"Body", STATOR_STRING, 0, 1, BODY_MOST, NULL, "HTML, UTF-8"},
	{"Host", STATOR_STRING, 1, 0, 255, NULL, "name of the SMTP server"},
	{"Port", STATOR_INT32, 1, 0, 0, NULL, "25, 465, 587 ..."},
	{"Username", STATOR_STRING, 0, 0, 0, NULL, "when the server asks"},
	{"Password", STATOR_STRING, 0, 1, 0, NULL, "of the user"},
};

static const stator_field_desc value_fields[] = {
	{"Success", STATOR_BOOL, 0, 0, 0, NULL, "the server took the mail"},
	{"ErrorMessage", STATOR_STRING, 0, 0, 0, NULL, "why it did not"},
};

static const stator_field_desc config_fields[] = {
	{"tls", STATOR_STRING, 0, 0, 0, "\"auto\"",
	 "auto, none, starttls (required) or always (from the first byte)"},
	{"timeoutMs", STATOR_INT64, 0, 0, 0, "20000", "for one mail"},
	{"caFile", STATOR_STRING, 0, 0, 0, "\"\"",
	 "certificates to trust, PEM; empty: those of the system"},
	{"helo", STATOR_STRING, 0, 0, 255, "\"\"",
	 "name of this host in EHLO; empty: what the system says"},
};

enum {
	KEY_WSID,
	KEY_FROM,
	KEY_TO,
	KEY_CC,
	KEY_BCC,
	KEY_SUBJECT,
	KEY_BODY,
	KEY_HOST,
	KEY_PORT,
	KEY_USERNAME,
	KEY_PASSWORD
};
enum { SUCCESS, ERROR_MESSAGE };
enum { CONFIG_TLS, CONFIG_TIMEOUT, CONFIG_CA_FILE, CONFIG_HELO };

typedef enum tls_mode {
	TLS_AUTO,
	TLS_NONE,
	TLS_STARTTLS,
	TLS_ALWAYS
} tls_mode;

typedef struct sendmail {
	const stator_host_api *host;
	tls_mode tls;
	int64_t timeout_ms;
	char *ca_file; /* NULL: those of the system */
	char *helo;
} sendmail;

/* Bytes that grow; `failed` when there was no memory. */
typedef struct buffer {
	const stator_host_api *host;
	char *data; /* of host->alloc */
	size_t size;
	size_t cap;
	int failed;
} buffer;

typedef struct address {
	stator_slice name; /* what is shown; may be empty */
	const char *spec;  /* "a@example.com" */
} address;

typedef struct addresses {
	address *list;
	uint32_t count;
} addresses;

/* One mail. Strings are of the run's memory. */
typedef struct mail {
	const sendmail *plugin;
	const stator_run *run;
	address from;
	addresses to, cc, bcc;
	stator_slice subject;
	stator_slice body;
	const char *host;
	int64_t port;
	const char *username; /* NULL: no authentication */
	const char *password;
	char token[64];	  /* tells mails of one run apart */
	buffer message;
	size_t sent;	  /* of the message */
	int authenticated;
	int unauthorised; /* stopped for the lack of it */
	char refusal[256]; /* the last reply, if it was one */
} mail;

/* Texts ------------------------------------------------------------------- */

static void
add(buffer *b, const void *data, size_t size)
{
	if (b->failed)
		return;
	if (size > b->cap - b->size) {
		size_t cap = 2 * (b->size + size) + 1024;
		char *grown = b->host->alloc(cap);

		if (grown == NULL) {
			b->failed = 1;
			return;
		}
		if (b->size)
			memcpy(grown, b->data, b->size);
		b->host->free(b->data);
		b->data = grown;
		b->cap = cap;
	}
	if (size)
		memcpy(b->data + b->size, data, size);
	b->size += size;
}

static void
add_str(buffer *b, const char *text)
{
	add(b, text, strlen(text));
}

/* For short texts only. */
static void
add_format(buffer *b, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void
add_format(buffer *b, const char *format, ...)
{
	char text[128];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	add_str(b, text);
}

static void
add_base64(buffer *b, const uint8_t *p, size_t size)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < size; i += 3) {
		size_t left = size - i;
		uint32_t n = (uint32_t)p[i] << 16 |
			     (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
			     (left > 2 ? p[i + 2] : 0u);
		char four[4] = {digits[n >> 18], digits[n >> 12 & 63],
				left > 1 ? digits[n >> 6 & 63] : '=',
				left > 2 ? digits[n & 63] : '='};

		add(b, four, 4);
	}
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

static int
is_utf8(stator_slice s)
{
	const uint8_t *p = s.data;
	size_t n = 1;

	for (size_t i = 0; i < s.size && n; i += n)
		n = utf8_length(p + i, s.size - i);
	return n != 0;
}

/* Printable ASCII that no reader takes for an encoded word. */
static int
is_plain(stator_slice s)
{
	const char *p = s.data;

	for (size_t i = 0; i < s.size; i++)
		if (p[i] < ' ' || p[i] > '~' ||
		    (p[i] == '=' && i + 1 < s.size && p[i + 1] == '?'))
			return 0;
	return s.size <= PLAIN_MOST;
}

static int
has_control(stator_slice s)
{
	const uint8_t *p = s.data;

	for (size_t i = 0; i < s.size; i++)
		if (p[i] < ' ' || p[i] == 0x7f)
			return 1;
	return 0;
}

static stator_slice
trim(stator_slice s)
{
	const char *from = s.data, *to = from + s.size;

	while (from < to && *from == ' ')
		from++;
	while (from < to && to[-1] == ' ')
		to--;
	return (stator_slice){from, (size_t)(to - from)};
}

static char *
text_of(const mail *m, stator_slice s)
{
	char *copy = m->plugin->host->run_alloc(m->run, s.size + 1);

	if (s.size)
		memcpy(copy, s.data, s.size);
	return copy;
}

/* Only printable ASCII goes into errors, whatever a server says. */
static void
tidy(char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

/* The key: what must be there --------------------------------------------- */

static int
has_text(const mail *m, const stator_row *key, uint32_t field)
{
	stator_slice text;

	return m->plugin->host->row_bytes(key, field, &text) &&
	       trim(text).size > 0;
}

static int32_t
check_required(const mail *m, const stator_row *key, stator_error *err)
{
	const stator_host_api *host = m->plugin->host;
	const char *missing = NULL;
	int64_t port;

	if (!has_text(m, key, KEY_HOST))
		missing = "Host";
	else if (!host->row_int(key, KEY_PORT, &port))
		missing = "Port";
	else if (!has_text(m, key, KEY_FROM))
		missing = "From";
	else if (host->row_count(key, KEY_TO) == 0)
		missing = "To";
	if (missing == NULL)
		return STATOR_OK;
	return host->fail(err, STATOR_EXTENSION_FAILED,
			  "%s: not found; the key needs one", missing);
}

/* The key: addresses ------------------------------------------------------ */

static int32_t
wrong(const mail *m, const char *field, const char *what, stator_error *err)
{
	return m->plugin->host->fail(err, STATOR_EXTENSION_FAILED, "%s: %s",
				     field, what);
}

static int32_t
check_line(const mail *m, const char *field, stator_slice text,
	   stator_error *err)
{
	if (has_control(text))
		return wrong(m, field, "has a line end or another control "
				       "character inside",
			     err);
	if (!is_utf8(text))
		return wrong(m, field, "is not UTF-8", err);
	return STATOR_OK;
}

static int
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9');
}

static int
is_host_name(const char *p, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (!is_letter(p[i]) && (p[i] == 0 || !strchr("-._", p[i])))
			return 0;
	return size > 0 && size <= DOMAIN_MOST;
}

/* A character that needs no quotes in front of the @, or in a name. */
static int
is_atom(char c)
{
	return is_letter(c) || (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

static int
is_spec(stator_slice s)
{
	const char *p = s.data, *at = s.size ? memchr(p, '@', s.size) : NULL;
	size_t local = at ? (size_t)(at - p) : 0;

	if (local == 0 || local > LOCAL_MOST || p[0] == '.' || at[-1] == '.')
		return 0;
	for (size_t i = 0; i < local; i++)
		if (!is_atom(p[i]) && (p[i] != '.' || p[i + 1] == '.'))
			return 0;
	return is_host_name(at + 1, s.size - local - 1) && at[1] != '.';
}

/* What a name in quotes stands for. */
static stator_slice
unquote(const mail *m, stator_slice s)
{
	char *copy = text_of(m, s);
	size_t n = 0;

	for (size_t i = 1; i + 1 < s.size; i++) {
		if (copy[i] == '\\' && i + 2 < s.size)
			i++;
		copy[n++] = copy[i];
	}
	return (stator_slice){copy, n};
}

/* Whether the quotes around it are the only ones. */
static int
is_quoted(stator_slice s)
{
	const char *p = s.data;

	if (s.size < 2 || p[0] != '"' || p[s.size - 1] != '"')
		return 0;
	for (size_t i = 1; i + 1 < s.size; i++) {
		if (p[i] == '"')
			return 0;
		if (p[i] == '\\' && ++i + 1 >= s.size)
			return 0;
	}
	return 1;
}

/* Whether this would mean something else without quotes around it. */
static int
needs_quotes(stator_slice s)
{
	const char *p = s.data;

	for (size_t i = 0; i < s.size; i++)
		if (strchr(",;:<>@\"()[]\\", p[i]))
			return 1;
	return 0;
}

/* 0 when `text` is not one address. */
static int
parse_address(const mail *m, stator_slice text, address *out)
{
	const char *p = text.data, *open = NULL;
	stator_slice spec = text, name = {p, 0};

	if (text.size && p[text.size - 1] == '>')
		for (size_t i = 0; i < text.size; i++)
			if (p[i] == '<')
				open = p + i;
	if (open) {
		name = trim((stator_slice){p, (size_t)(open - p)});
		spec.data = open + 1;
		spec.size = (size_t)(p + text.size - open) - 2;
	}
	if (is_quoted(name))
		name = unquote(m, name);
	else if (needs_quotes(name))
		return 0;
	if (!is_spec(spec))
		return 0;
	out->name = name;
	out->spec = text_of(m, spec);
	return 1;
}

static int32_t
take_address(const mail *m, const char *field, stator_slice text, address *out,
	     stator_error *err)
{
	enum { SHOWN = 80 };
	char shown[SHOWN + 1] = {0};
	int32_t code = check_line(m, field, text, err);

	if (code || parse_address(m, trim(text), out))
		return code;
	memcpy(shown, text.data, text.size < SHOWN ? text.size : SHOWN);
	tidy(shown);
	return m->plugin->host->fail(err, STATOR_EXTENSION_FAILED,
				     "%s: \"%s\" is not one address as "
				     "a@example.com or Name <a@example.com>",
				     field, shown);
}

/* A repeated field; empty texts are left out. */
static int32_t
take_addresses(const mail *m, const stator_row *key, uint32_t field,
	       addresses *out, stator_error *err)
{
	const stator_host_api *host = m->plugin->host;
	const char *name = key->type->fields[field].name;
	uint32_t count = host->row_count(key, field);
	int32_t code = STATOR_OK;

	out->list = host->run_alloc(m->run, (count + 1) * sizeof(address));
	for (uint32_t i = 0; i < count && code == STATOR_OK; i++) {
		stator_slice text;

		if (!host->row_text(key, field, i, &text) ||
		    trim(text).size == 0)
			continue;
		code = take_address(m, name, text, &out->list[out->count++],
				    err);
	}
	return code;
}

/* The key: the rest ------------------------------------------------------- */

static int32_t
take_server(mail *m, const stator_row *key, stator_error *err)
{
	const stator_host_api *host = m->plugin->host;
	stator_slice name = {"", 0};
	const char *p;
	size_t i = 0;

	host->row_int(key, KEY_PORT, &m->port);
	if (m->port < 1 || m->port > 65535)
		return wrong(m, "Port", "expected 1 to 65535", err);
	host->row_bytes(key, KEY_HOST, &name);
	name = trim(name);
	p = name.data;
	/* The text becomes a part of a URL: a name, or an address of IPv6. */
	if (memchr(p, ':', name.size)) {
		char *bracketed = host->run_alloc(m->run, name.size + 3);

		while (i < name.size && (is_letter(p[i]) || p[i] == ':' ||
					 p[i] == '.'))
			i++;
		bracketed[0] = '[';
		memcpy(bracketed + 1, p, name.size);
		bracketed[name.size + 1] = ']';
		m->host = bracketed;
		return i == name.size
			       ? STATOR_OK
			       : wrong(m, "Host", "is not a host's name", err);
	}
	m->host = text_of(m, name);
	return is_host_name(p, name.size)
		       ? STATOR_OK
		       : wrong(m, "Host", "is not a host's name", err);
}

static int32_t
take_user(mail *m, const stator_row *key, stator_error *err)
{
	const stator_host_api *host = m->plugin->host;
	stator_slice user = {"", 0}, password = {"", 0};

	host->row_bytes(key, KEY_USERNAME, &user);
	host->row_bytes(key, KEY_PASSWORD, &password);
	if (has_control(user))
		return wrong(m, "Username", "has a control character inside",
			     err);
	if (has_control(password))
		return wrong(m, "Password", "has a control character inside",
			     err);
	if (user.size == 0 && password.size)
		return wrong(m, "Password", "there is no Username to it", err);
	m->username = user.size ? text_of(m, user) : NULL;
	m->password = text_of(m, password);
	return STATOR_OK;
}

/* Everything but what check_required asks for. */
static int32_t
take_key(mail *m, const stator_row *key, stator_error *err)
{
	const stator_host_api *host = m->plugin->host;
	stator_slice from = {"", 0};
	int32_t code = take_server(m, key, err);

	host->row_bytes(key, KEY_FROM, &from);
	host->row_bytes(key, KEY_SUBJECT, &m->subject);
	host->row_bytes(key, KEY_BODY, &m->body);
	if (code == STATOR_OK)
		code = take_user(m, key, err);
	if (code == STATOR_OK)
		code = take_address(m, "From", from, &m->from, err);
	if (code == STATOR_OK)
		code = take_addresses(m, key, KEY_TO, &m->to, err);
	if (code == STATOR_OK && m->to.count == 0)
		code = wrong(m, "To", "all of it is empty", err);
	if (code == STATOR_OK)
		code = take_addresses(m, key, KEY_CC, &m->cc, err);
	if (code == STATOR_OK)
		code = take_addresses(m, key, KEY_BCC, &m->bcc, err);
	if (code == STATOR_OK)
		code = check_line(m, "Subject", m->subject, err);
	if (code == STATOR_OK && !is_utf8(m->body))
		code = wrong(m, "Body", "is not UTF-8", err);
	return code;
}

/* The message ------------------------------------------------------------- */

/* Encoded words of RFC 2047, cut between characters, each on a line. */
static void
add_words(buffer *b, stator_slice s)
{
	const uint8_t *p = s.data;

	for (size_t i = 0, n; i < s.size; i += n) {
		for (n = 0; i + n < s.size;) {
			size_t next = utf8_length(p + i + n, s.size - i - n);

			if (n + next > WORD_BYTES)
				break;
			n += next;
		}
		add_str(b, i ? "\r\n =?UTF-8?B?" : "=?UTF-8?B?");
		add_base64(b, p + i, n);
		add_str(b, "?=");
	}
}

static void
add_name(buffer *b, stator_slice name)
{
	const char *p = name.data;
	int quotes = 0;

	if (!is_plain(name)) {
		add_words(b, name);
		return;
	}
	for (size_t i = 0; i < name.size; i++)
		quotes |= !is_atom(p[i]) && p[i] != ' ';
	if (quotes)
		add_str(b, "\"");
	for (size_t i = 0; i < name.size; i++) {
		if (p[i] == '"' || p[i] == '\\')
			add_str(b, "\\");
		add(b, p + i, 1);
	}
	if (quotes)
		add_str(b, "\"");
}

static void
add_addresses(buffer *b, const char *header, const address *list,
	      uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		add_str(b, i ? ",\r\n " : header);
		if (list[i].name.size) {
			add_name(b, list[i].name);
			/* Encoded words may have filled the line. */
			add_str(b, is_plain(list[i].name) ? " " : "\r\n ");
		}
		add_str(b, "<");
		add_str(b, list[i].spec);
		add_str(b, ">");
	}
	if (count)
		add_str(b, "\r\n");
}

static void
add_date(buffer *b, int64_t now_ms)
{
	static const char days[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t seconds = (time_t)(now_ms / 1000);
	struct tm tm;

	/* By hand, for the locale of the process may be any. */
	gmtime_r(&seconds, &tm);
	add_format(b, "Date: %.3s, %d %.3s %d %02d:%02d:%02d +0000\r\n",
		   days + 3 * tm.tm_wday, tm.tm_mday, months + 3 * tm.tm_mon,
		   tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* Names in a Message-ID: what is not a letter there becomes a hyphen. */
static void
add_id_part(buffer *b, const char *name)
{
	for (; *name; name++) {
		char c = is_letter(*name) || *name == '_' ? *name : '-';

		add(b, &c, 1);
	}
}

/* What a repeat has in common with the first try, and no other mail has. */
static void
add_message_id(buffer *b, const mail *m)
{
	add_format(b, "Message-ID: <%lld.%u.%s.",
		   (long long)m->run->plog_offset, m->run->partition,
		   m->token);
	add_id_part(b, m->run->extension);
	add_str(b, ".");
	add_id_part(b, m->run->app);
	add_str(b, strchr(m->from.spec, '@'));
	add_str(b, ">\r\n");
}

static void
compose(mail *m)
{
	buffer *b = &m->message;
	const uint8_t *body = m->body.data;

	b->host = m->plugin->host;
	add_date(b, m->run->now_ms);
	add_message_id(b, m);
	add_addresses(b, "From: ", &m->from, 1);
	add_addresses(b, "To: ", m->to.list, m->to.count);
	add_addresses(b, "Cc: ", m->cc.list, m->cc.count);
	add_str(b, "Subject: ");
	if (is_plain(m->subject))
		add(b, m->subject.data, m->subject.size);
	else
		add_words(b, m->subject);
	add_str(b, "\r\nMIME-Version: 1.0\r\n"
		   "Content-Type: text/html; charset=UTF-8\r\n"
		   "Content-Transfer-Encoding: base64\r\n\r\n");
	for (size_t i = 0; i < m->body.size; i += LINE_BYTES) {
		size_t left = m->body.size - i;

		add_base64(b, body + i, left < LINE_BYTES ? left : LINE_BYTES);
		add_str(b, "\r\n");
	}
}

/* The dialogue ------------------------------------------------------------ */

static size_t
on_send(char *out, size_t one, size_t size, void *ctx)
{
	mail *m = ctx;
	size_t left = m->message.size - m->sent;

	/*
	 * Rationale: curl goes on without authentication when the server does
	 * not offer it. Nothing was sent yet, and without the end of the
	 * message the server forgets it.
	 */
	if (m->username && !m->authenticated) {
		m->unauthorised = 1;
		return CURL_READFUNC_ABORT;
	}
	size *= one;
	if (size > left)
		size = left;
	memcpy(out, m->message.data + m->sent, size);
	m->sent += size;
	return size;
}

/* Replies of the server, line by line. */
static size_t
on_reply(char *data, size_t one, size_t size, void *ctx)
{
	mail *m = ctx;
	size_t n = size * one;

	if (n >= 3 && memcmp(data, "235", 3) == 0)
		m->authenticated = 1;
	/* What was refused before was got around; a farewell says nothing. */
	if (n >= 3 && (data[0] == '2' || data[0] == '3') &&
	    memcmp(data, "221", 3) != 0)
		m->refusal[0] = 0;
	if (n >= 3 && (data[0] == '4' || data[0] == '5')) {
		while (n && (data[n - 1] == '\r' || data[n - 1] == '\n'))
			n--;
		if (n >= sizeof(m->refusal))
			n = sizeof(m->refusal) - 1;
		memcpy(m->refusal, data, n);
		m->refusal[n] = 0;
	}
	return size * one;
}

static int
add_recipients(struct curl_slist **list, const addresses *all)
{
	for (uint32_t i = 0; i < all->count; i++) {
		char text[LOCAL_MOST + DOMAIN_MOST + 4];
		struct curl_slist *longer;

		snprintf(text, sizeof(text), "<%s>", all->list[i].spec);
		longer = curl_slist_append(*list, text);
		if (longer == NULL)
			return 0;
		*list = longer;
	}
	return 1;
}

static int
is_loopback(const char *host)
{
	return strcasecmp(host, "localhost") == 0 ||
	       strcmp(host, "[::1]") == 0 || strncmp(host, "127.", 4) == 0;
}

static int
is_tls_at_once(const mail *m)
{
	return m->plugin->tls == TLS_ALWAYS ||
	       (m->plugin->tls == TLS_AUTO && m->port == 465);
}

static long
starttls_of(const mail *m)
{
	switch (m->plugin->tls) {
	case TLS_NONE:
		return CURLUSESSL_NONE;
	case TLS_AUTO:
		/* A password is not for everybody on the way to read. */
		if (m->username == NULL || is_loopback(m->host))
			return CURLUSESSL_TRY;
		return CURLUSESSL_ALL;
	default:
		return CURLUSESSL_ALL;
	}
}

static void
set_options(mail *m, CURL *curl, struct curl_slist *recipients, char *text)
{
	const sendmail *p = m->plugin;
	char url[2 * DOMAIN_MOST + 64], from[LOCAL_MOST + DOMAIN_MOST + 4];

	snprintf(url, sizeof(url), "%s://%s:%d/%s",
		 is_tls_at_once(m) ? "smtps" : "smtp", m->host, (int)m->port,
		 p->helo);
	snprintf(from, sizeof(from), "<%s>", m->from.spec);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_USE_SSL, starttls_of(m));
	if (p->ca_file)
		curl_easy_setopt(curl, CURLOPT_CAINFO, p->ca_file);
	if (m->username) {
		curl_easy_setopt(curl, CURLOPT_USERNAME, m->username);
		curl_easy_setopt(curl, CURLOPT_PASSWORD, m->password);
	}
	curl_easy_setopt(curl, CURLOPT_MAIL_FROM, from);
	curl_easy_setopt(curl, CURLOPT_MAIL_RCPT, recipients);
	curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE,
			 (curl_off_t)m->message.size);
	curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_send);
	curl_easy_setopt(curl, CURLOPT_READDATA, m);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_reply);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, m);
	/* What is no reply to a command goes nowhere: not to stdout. */
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_reply);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, m);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, text);
	/* Signals belong to the process. */
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)p->timeout_ms);
	/* The farewell is waited for too, and not bounded by the time above. */
	curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(curl, CURLOPT_SERVER_RESPONSE_TIMEOUT,
			 (long)((p->timeout_ms + 999) / 1000));
}

static int32_t
not_sent(mail *m, CURLcode code, char *text, stator_error *err)
{
	const stator_host_api *host = m->plugin->host;

	if (m->unauthorised)
		return host->fail(err, STATOR_STORAGE_FAILED,
				  "the server offers no authentication for "
				  "Username");
	if (text[0] == 0)
		snprintf(text, CURL_ERROR_SIZE, "%s", curl_easy_strerror(code));
	tidy(text);
	tidy(m->refusal);
	/* What the server refuses for good, it refuses the next time too. */
	return host->fail(err,
			  m->refusal[0] == '5' ? STATOR_BAD_REQUEST
					       : STATOR_STORAGE_FAILED,
			  m->refusal[0] ? "%s (%s)" : "%s%s", text,
			  m->refusal);
}

static int32_t
talk(mail *m, CURL *curl, stator_error *err)
{
	struct curl_slist *recipients = NULL;
	char text[CURL_ERROR_SIZE] = "";
	CURLcode code = CURLE_OUT_OF_MEMORY;

	if (add_recipients(&recipients, &m->to) &&
	    add_recipients(&recipients, &m->cc) &&
	    add_recipients(&recipients, &m->bcc)) {
		set_options(m, curl, recipients, text);
		code = curl_easy_perform(curl);
	}
	curl_easy_cleanup(curl);
	curl_slist_free_all(recipients);
	return code ? not_sent(m, code, text, err) : STATOR_OK;
}

static int32_t
deliver(mail *m, stator_error *err)
{
	CURL *curl = curl_easy_init();
	int32_t code;

	compose(m);
	if (curl == NULL || m->message.failed) {
		curl_easy_cleanup(curl);
		code = m->plugin->host->fail(err, STATOR_NO_MEMORY,
					     "out of memory");
	} else {
		code = talk(m, curl, err);
	}
	m->plugin->host->free(m->message.data);
	return code;
}

/* The storage ------------------------------------------------------------- */

static mail *
begin(void *self, const stator_run *run)
{
	sendmail *p = self;
	mail *m = p->host->run_alloc(run, sizeof(*m));

	m->plugin = p;
	m->run = run;
	return m;
}

static uint64_t
hash(uint64_t h, const void *data, size_t size)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < size; i++)
		h = (h ^ p[i]) * 0x100000001b3u;
	return h;
}

/* A mail of GET has no index: it is known by what it says, and to whom. Runs
 * without an event have their time instead of an offset. */
static void
name_by_content(mail *m)
{
	const addresses *all[] = {&m->to, &m->cc, &m->bcc};
	uint64_t h = 0xcbf29ce484222325u;

	for (int k = 0; k < 3; k++)
		for (uint32_t i = 0; i < all[k]->count; i++)
			h = hash(h, all[k]->list[i].spec,
				 strlen(all[k]->list[i].spec) + 1);
	h = hash(h, m->subject.data, m->subject.size);
	h = hash(h, m->body.data, m->body.size);
	h = hash(h, &m->run->wsid, sizeof(m->run->wsid));
	if (m->run->plog_offset == 0)
		h = hash(h, &m->run->now_ms, sizeof(m->run->now_ms));
	snprintf(m->token, sizeof(m->token), "g%016llx", (unsigned long long)h);
}

static int32_t
outcome(const mail *m, const stator_type *type, const char *failure,
	stator_row *row, stator_error *err)
{
	const stator_host_api *host = m->plugin->host;
	struct stator_builder *b = host->row_begin(m->run, type);
	stator_slice text = {failure, failure ? strlen(failure) : 0};
	int32_t code = host->put_int(b, SUCCESS, failure == NULL, err);

	if (code == STATOR_OK && failure)
		code = host->put_bytes(b, ERROR_MESSAGE, text, err);
	return code ? code : host->row_end(b, row, err);
}

/* A field that is missing is an error of the extension; a mail that cannot be
 * sent, for an address as for a server, is an outcome. */
static int32_t
get(void *self, const stator_run *run, const stator_use *use,
    const stator_row *key, stator_row *value, stator_error *err)
{
	mail *m = begin(self, run);
	stator_error why = {0};
	int32_t code = check_required(m, key, err);

	if (code)
		return code;
	code = take_key(m, key, &why);
	if (code == STATOR_OK) {
		name_by_content(m);
		code = deliver(m, &why);
	}
	if (code == STATOR_NO_MEMORY) {
		*err = why;
		return code;
	}
	return outcome(m, use->value, code ? why.msg : NULL, value, err);
}

static int32_t
validate(void *self, const stator_run *run, const stator_intent *items,
	 size_t count, stator_error *err)
{
	for (size_t i = 0; i < count; i++) {
		mail *m = begin(self, run);
		int32_t code = check_required(m, items[i].key, err);

		if (code == STATOR_OK)
			code = take_key(m, items[i].key, err);
		if (code)
			return code;
	}
	return STATOR_OK;
}

static int32_t
effect(void *self, const stator_run *run, const stator_intent *item,
       stator_error *err)
{
	mail *m = begin(self, run);
	int32_t code = check_required(m, item->key, err);

	if (code == STATOR_OK)
		code = take_key(m, item->key, err);
	if (code)
		return code;
	snprintf(m->token, sizeof(m->token), "i%u", item->index);
	return deliver(m, err);
}

/* Life of the plugin ------------------------------------------------------ */

/* A copy that lasts as long as the plugin; NULL: no memory. */
static char *
config_text(const sendmail *p, const stator_row *config, uint32_t field)
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
configure_tls(sendmail *p, const stator_row *config, stator_error *err)
{
	static const char *const names[] = {
		[TLS_AUTO] = "auto",
		[TLS_NONE] = "none",
		[TLS_STARTTLS] = "starttls",
		[TLS_ALWAYS] = "always",
	};
	stator_slice text = {"auto", 4};

	p->host->row_bytes(config, CONFIG_TLS, &text);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (text.size == strlen(names[i]) &&
		    memcmp(text.data, names[i], text.size) == 0) {
			p->tls = (tls_mode)i;
			return STATOR_OK;
		}
	return p->host->fail(err, STATOR_IMAGE,
			     "config.tls: expected auto, none, starttls or "
			     "always");
}

static int32_t
configure(sendmail *p, const stator_row *config, stator_error *err)
{
	if (configure_tls(p, config, err))
		return err->code;
	p->host->row_int(config, CONFIG_TIMEOUT, &p->timeout_ms);
	if (p->timeout_ms < 1 || p->timeout_ms > TIMEOUT_MOST_MS)
		return p->host->fail(err, STATOR_IMAGE,
				     "config.timeoutMs: expected 1 to %d",
				     TIMEOUT_MOST_MS);
	p->ca_file = config_text(p, config, CONFIG_CA_FILE);
	p->helo = config_text(p, config, CONFIG_HELO);
	if (p->ca_file == NULL || p->helo == NULL)
		return p->host->fail(err, STATOR_NO_MEMORY, "out of memory");
	if (p->helo[0] && !is_host_name(p->helo, strlen(p->helo)))
		return p->host->fail(err, STATOR_IMAGE,
				     "config.helo: is not a host's name");
	if (p->ca_file[0] == 0) {
		p->host->free(p->ca_file);
		p->ca_file = NULL;
	}
	return STATOR_OK;
}

static void
finit(void *plugin)
{
	sendmail *p = plugin;

	p->host->free(p->ca_file);
	p->host->free(p->helo);
	p->host->free(p);
	/* curl counts: other plugins, and another version, go on using it. */
	curl_global_cleanup();
}

static int32_t
init(const stator_host_api *host, const stator_row *configs, void **plugin,
     stator_error *err)
{
	sendmail *p = host->alloc(sizeof(*p));
	int32_t code;

	if (p == NULL)
		return host->fail(err, STATOR_NO_MEMORY, "out of memory");
	if (curl_global_init(CURL_GLOBAL_DEFAULT)) {
		host->free(p);
		return host->fail(err, STATOR_IMAGE, "curl does not start");
	}
	p->host = host;
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
	.name = "SendMail",
	.help = "mails by SMTP: GET sends at once, INSERT after the commit",
	.scopes = {STATOR_PROJECTORS | STATOR_JOBS, 0, 0,
		   STATOR_PROJECTORS | STATOR_JOBS, 0},
	.call_ms = CALL_MS,
	.key_fields = key_fields,
	.key_field_count = sizeof(key_fields) / sizeof(key_fields[0]),
	.value_fields = value_fields,
	.value_field_count = sizeof(value_fields) / sizeof(value_fields[0]),
	.config_fields = config_fields,
	.config_field_count = sizeof(config_fields) / sizeof(config_fields[0]),
	.get = get,
	.validate = validate,
	.effect = effect,
};

static const stator_storage *const storages[] = {&storage};

const stator_plugin stator_plugin_entry = {
	.abi = STATOR_ABI,
	.size = sizeof(stator_plugin),
	.name = "sendmail",
	.version = "1.0.0",
	.description = "mails by SMTP",
	.flags = STATOR_CONCURRENT,
	.storages = storages,
	.storage_count = 1,
	.init = init,
	.finit = finit,
};
