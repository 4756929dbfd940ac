build-nosig/obj/storage/sys.o: src/storage/sys.c src/storage/storage.h \
 src/include/stator_plugin.h
src/storage/storage.h:
src/include/stator_plugin.h:
