build-nosig/spec-obj/storage/wlog.o: src/storage/wlog.c \
 src/storage/event_fields.h src/storage/storage.h \
 src/include/stator_plugin.h
src/storage/event_fields.h:
src/storage/storage.h:
src/include/stator_plugin.h:
