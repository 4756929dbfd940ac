/*
 * event_fields.h: events are handed out as they are stored. These are the
 * fields of a stored event, in their order; what an offset is called differs
 * between sys.Event and sys.WLog.
 */
#ifndef STATOR_EVENT_FIELDS_H
#define STATOR_EVENT_FIELDS_H

#define EVENT_FIELDS(wlog_offset, plog_offset)                              \
	{wlog_offset, STATOR_INT64, 0, 0, 0, NULL,                          \
	 "number of the event in its workspace, from 1"},                   \
	{"Workspace", STATOR_INT64, 0, 0, 0, NULL, "its workspace"},        \
	{"RegisteredAt", STATOR_INT64, 0, 0, 0, NULL, "Unix time, in ms"},  \
	{"SyncedAt", STATOR_INT64, 0, 0, 0, NULL, "when it was synced"},    \
	{"DeviceID", STATOR_INT64, 0, 0, 0, NULL, "where it was made"},     \
	{plog_offset, STATOR_INT64, 0, 0, 0, NULL,                          \
	 "number of the event in its partition, from 1"},                   \
	{"Synced", STATOR_BOOL, 0, 0, 0, NULL, "made elsewhere"},           \
	{"QName", STATOR_QNAME, 0, 0, 0, NULL, "the command"},              \
	{"Error", STATOR_ROW, 0, 0, 0, NULL, "why it is not valid"},        \
	{"ArgumentObject", STATOR_ROW, 0, 0, 0, NULL, "its argument"},      \
	{"CUDs", STATOR_ROWS, 0, 0, 0, NULL, "records made and changed"},

enum { EVENT_FIELD_COUNT = 11 };

#endif
