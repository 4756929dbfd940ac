build-nosig/spec-obj/storage/response.o: src/storage/response.c \
 src/storage/storage.h src/include/stator_plugin.h
src/storage/storage.h:
src/include/stator_plugin.h:
