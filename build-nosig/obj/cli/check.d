build-nosig/obj/cli/check.o: src/cli/check.c src/cli/cli.h \
 src/include/stator.h src/include/stator_plugin.h
src/cli/cli.h:
src/include/stator.h:
src/include/stator_plugin.h:
