build-nosig/obj/cli/watch.o: src/cli/watch.c src/cli/watch.h
src/cli/watch.h:
