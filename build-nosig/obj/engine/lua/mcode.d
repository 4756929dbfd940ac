build-nosig/obj/engine/lua/mcode.o: src/engine/lua/mcode.c \
 /usr/include/luajit-2.1/lauxlib.h /usr/include/luajit-2.1/lua.h \
 /usr/include/luajit-2.1/luaconf.h /usr/include/luajit-2.1/luajit.h \
 src/engine/lua/mcode.h /usr/include/luajit-2.1/lua.h src/base/base.h \
 src/include/stator_plugin.h
/usr/include/luajit-2.1/lauxlib.h:
/usr/include/luajit-2.1/lua.h:
/usr/include/luajit-2.1/luaconf.h:
/usr/include/luajit-2.1/luajit.h:
src/engine/lua/mcode.h:
/usr/include/luajit-2.1/lua.h:
src/base/base.h:
src/include/stator_plugin.h:
