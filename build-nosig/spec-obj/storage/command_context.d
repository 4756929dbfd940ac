build-nosig/spec-obj/storage/command_context.o: \
 src/storage/command_context.c src/storage/storage.h \
 src/include/stator_plugin.h
src/storage/storage.h:
src/include/stator_plugin.h:
