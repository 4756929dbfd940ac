build-nosig/obj/cli/plugin.o: src/cli/plugin.c src/cli/cli.h \
 src/include/stator.h src/include/stator_plugin.h
src/cli/cli.h:
src/include/stator.h:
src/include/stator_plugin.h:
