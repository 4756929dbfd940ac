build-nosig/spec-obj/storage/view.o: src/storage/view.c \
 src/storage/storage.h src/include/stator_plugin.h
src/storage/storage.h:
src/include/stator_plugin.h:
