build-nosig/obj/storage/record.o: src/storage/record.c \
 src/storage/storage.h src/include/stator_plugin.h
src/storage/storage.h:
src/include/stator_plugin.h:
