build-nosig/obj/storage/result.o: src/storage/result.c \
 src/storage/storage.h src/include/stator_plugin.h
src/storage/storage.h:
src/include/stator_plugin.h:
