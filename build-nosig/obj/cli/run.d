build-nosig/obj/cli/run.o: src/cli/run.c src/cli/cli.h \
 src/include/stator.h src/include/stator_plugin.h src/cli/watch.h
src/cli/cli.h:
src/include/stator.h:
src/include/stator_plugin.h:
src/cli/watch.h:
