build-nosig/obj/cli/dump.o: src/cli/dump.c src/cli/cli.h \
 src/include/stator.h src/include/stator_plugin.h
src/cli/cli.h:
src/include/stator.h:
src/include/stator_plugin.h:
