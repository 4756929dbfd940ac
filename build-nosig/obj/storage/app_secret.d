build-nosig/obj/storage/app_secret.o: src/storage/app_secret.c \
 src/storage/storage.h src/include/stator_plugin.h
src/storage/storage.h:
src/include/stator_plugin.h:
