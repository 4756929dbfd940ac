build-nosig/obj/storage/query_context.o: src/storage/query_context.c \
 src/storage/storage.h src/include/stator_plugin.h
src/storage/storage.h:
src/include/stator_plugin.h:
