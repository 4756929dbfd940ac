build-nosig/obj/storage/event.o: src/storage/event.c \
 src/storage/event_fields.h src/storage/storage.h \
 src/include/stator_plugin.h
src/storage/event_fields.h:
src/storage/storage.h:
src/include/stator_plugin.h:
