build-nosig/spec-obj/storage/ephemeral.o: src/storage/ephemeral.c \
 src/storage/storage.h src/include/stator_plugin.h
src/storage/storage.h:
src/include/stator_plugin.h:
