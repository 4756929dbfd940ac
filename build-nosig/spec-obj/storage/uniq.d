build-nosig/spec-obj/storage/uniq.o: src/storage/uniq.c \
 src/storage/storage.h src/include/stator_plugin.h
src/storage/storage.h:
src/include/stator_plugin.h:
