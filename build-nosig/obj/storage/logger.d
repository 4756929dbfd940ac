build-nosig/obj/storage/logger.o: src/storage/logger.c \
 src/storage/storage.h src/include/stator_plugin.h
src/storage/storage.h:
src/include/stator_plugin.h:
