# Stator: `make help` lists the targets.

VERSION = 1.0.0
SOVERSION = 1

# Every package that building, testing and linting need on a bare Debian 12.
BUILD_PACKAGES = gcc libc6-dev make pkg-config luajit libluajit-5.1-dev \
	liblmdb-dev libyajl-dev libpcre2-dev lua-lpeg lua-lpeg-dev \
	libcurl4-openssl-dev
TEST_PACKAGES = lua-busted lua-check cppcheck python3 python3-aiosmtpd openssl \
	abigail-tools g++
PACKAGES = $(BUILD_PACKAGES) $(TEST_PACKAGES)

# SANITIZER=address,undefined builds everything into a folder of its own.
SANITIZER =
BUILD = build$(if $(SANITIZER),/$(subst $(comma),-,$(SANITIZER)))
comma = ,
# V=1 shows the commands.
V =
Q = $(if $(V),,@)
say = @$(if $(V),:,printf '  %-8s %s\n')
# WERROR=1 makes warnings errors; CI does.
WERROR = $(if $(CI),1)

PREFIX = /usr/local
DESTDIR =

CC = gcc
LIBRARIES = luajit lmdb yajl libpcre2-8
WARNINGS = -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes \
	-Wmissing-prototypes -Wformat=2 -Wvla -Wundef -Wno-clobbered \
	$(if $(WERROR),-Werror)
OPTIMISE = $(if $(SANITIZER),-O1,-O2 -D_FORTIFY_SOURCE=2)
CFLAGS = -g $(OPTIMISE)
ALL_CFLAGS = -std=gnu11 -D_GNU_SOURCE $(WARNINGS) $(CFLAGS) -fPIC \
	-fvisibility=hidden -fstack-protector-strong -fno-omit-frame-pointer \
	$(if $(SANITIZER),-fsanitize=$(SANITIZER) -fno-sanitize-recover=undefined) \
	-Isrc -Isrc/include $(shell pkg-config --cflags $(LIBRARIES) 2>/dev/null)
# Rooms are small files that call each other a lot: the library is optimised as
# a whole, once. LTO= does without it.
LTO = $(if $(SANITIZER),,-flto=auto)
LDLIBS = $(shell pkg-config --libs $(LIBRARIES) 2>/dev/null) -llua5.1-lpeg -lpthread -lm
LDFLAGS = $(if $(SANITIZER),-fsanitize=$(SANITIZER),-Wl$(comma)-z$(comma)relro$(comma)-z$(comma)now)

ROOMS = base schema store registry isolation conformance storage state engine engine/lua \
	engine/builtin app processor
LIB_SOURCES = $(foreach room,$(ROOMS),$(wildcard src/$(room)/*.c))
CLI_SOURCES = $(wildcard src/cli/*.c)
LIB_OBJECTS = $(LIB_SOURCES:src/%.c=$(BUILD)/obj/%.o) $(BUILD)/obj/embedded.o
CLI_OBJECTS = $(CLI_SOURCES:src/%.c=$(BUILD)/obj/%.o)
LUA_MODULES = $(wildcard lua/stator/*.lua)
FFI_HEADERS = src/include/stator_plugin.h src/engine/lua/lua_ffi.h

# Set before its first use in a prerequisite.
.DEFAULT_GOAL = all
.PHONY: all plugins help deps demo test check lint spec asan soak abi bench bench-growth \
	bench-peers bench-store examples install clean

all: $(BUILD)/stator $(BUILD)/libstator.so $(BUILD)/libstator.a plugins ## build the command and the library

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' Makefile

deps: ## install the Debian packages that are missing
	@missing=; for p in $(PACKAGES); do \
		dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; \
	done; \
	if [ -n "$$missing" ]; then \
		echo "installing$$missing"; \
		sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
		$$sudo apt-get update -qq && \
		$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; \
	fi

# The libraries' flags are known only once the packages are there: so the work
# behind `deps` is done by a second make.
demo: deps ## show the restaurant example at work
	@$(MAKE) --no-print-directory all
	@examples/restaurant/demo

test: deps ## build, lint and run all specs
	@$(MAKE) --no-print-directory WERROR=1 all $(BUILD)/libstator-spec.so
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory spec

check: lint spec ## lint and specs, without looking for packages

lint: ## look for mistakes in C and Lua
	$(say) LINT C
	$(Q)cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 \
		--enable=warning,portability,performance \
		--suppress=missingIncludeSystem --suppress=unusedFunction --suppress=autoVariables \
		-Isrc -Isrc/include src plugins
	$(say) LINT Lua
	$(Q)luacheck --quiet lua spec examples

SPECS = spec
spec: $(BUILD)/stator $(BUILD)/libstator-spec.so plugins ## run the specs; SPECS=spec/cli picks some
	$(Q)STATOR_BUILD=$(BUILD) $(SPEC_ENV) spec/support/run $(SPECS)

asan: ## the same specs under ASan and UBSan
	@$(MAKE) --no-print-directory SANITIZER=address,undefined all build/address-undefined/libstator-spec.so
	@$(MAKE) --no-print-directory SANITIZER=address,undefined spec \
		SPEC_ENV="STATOR_SANITIZED=1 ASAN_OPTIONS=detect_leaks=0 LD_PRELOAD=$$($(CC) -print-file-name=libasan.so)"

soak: $(BUILD)/stator ## a long life in some minutes: memory and descriptors stay flat
	$(Q)STATOR_BUILD=$(BUILD) STATOR_SOAK=200 spec/support/run spec/processor/soak_spec.lua

abi: ## compare stator_plugin.h with what was released; the specs do it too
	$(Q)spec/support/abi check

examples: all $(BUILD)/partition-processor ## run every example and compare with what is expected
	@for e in examples/*/; do STATOR=$(BUILD)/stator PROCESSOR=$(BUILD)/partition-processor \
		examples/verify $$e || exit 1; done

# A program against the library as it is installed, in a place of its own.
STAGE = $(abspath $(BUILD)/install)
$(BUILD)/partition-processor: examples/partition-processor/main.c $(BUILD)/libstator.so \
		$(wildcard src/include/*)
	$(Q)rm -rf $(STAGE)
	$(Q)$(MAKE) --no-print-directory -s install DESTDIR=$(STAGE)
	$(say) EXAMPLE $@
	$(Q)PKG_CONFIG_PATH=$(STAGE)$(PREFIX)/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$(STAGE) \
		$(MAKE) --no-print-directory -s -C examples/partition-processor -B OUT=$(abspath $@) \
		CFLAGS="-g -Wall -Wextra -Werror $(if $(SANITIZER),-fsanitize=$(SANITIZER))" \
		LDFLAGS=-Wl,-rpath,$(STAGE)$(PREFIX)/lib

# Benchmarks are linked to the archive: they measure rooms from the inside.
BENCH = $(BUILD)/bench
BENCH_PROGRAMS = storage handlers ledger reads operate growth
bench: all $(BENCH_PROGRAMS:%=$(BENCH)/%) ## measure; prints tables and writes build/bench/results.json
	$(Q)rm -rf $(BENCH)/results.json $(BENCH)/data && mkdir -p $(BENCH)/data && cp -r bench/storage $(BENCH)/data/far
	$(Q)echo '{"storages":{"bench.Counter":{"isolation":"process"}}}' >$(BENCH)/data/far/descriptor.json
	$(Q)$(BENCH)/storage bench/storage $(BUILD)/plugins/counter.so $(BENCH)/data $(BENCH)/results.json
	$(Q)$(BENCH)/handlers bench/handlers $(BENCH)/data/handlers $(BENCH)/results.json
	$(Q)mkdir $(BENCH)/data/many $(BENCH)/data/one $(BENCH)/data/reads $(BENCH)/data/operate $(BENCH)/data/growth
	$(Q)$(BENCH)/ledger examples/ledger $(BENCH)/data/many $(BENCH)/results.json 100000 300000 1000
	$(Q)$(BENCH)/ledger examples/ledger $(BENCH)/data/one $(BENCH)/results.json 1000 3000 1
	$(Q)$(BENCH)/reads examples/ledger $(BENCH)/data/reads $(BENCH)/results.json 10000 100000 200000
	$(Q)$(BENCH)/growth examples/ledger $(BENCH)/data/growth $(BENCH)/results.json accounts 150000 100000 1000000
	$(Q)$(BENCH)/operate examples/ledger $(BENCH)/data/operate $(BENCH)/results.json 200000 20000
	$(Q)bench/limits 5 $(BENCH)/results.json
	$(Q)rm -rf $(BENCH)/data

bench-growth: all $(BENCH)/growth ## measure transfers at up to 10,000,000 rows; many minutes, 20 GB of disk
	$(Q)rm -rf $(BENCH)/data && mkdir -p $(BENCH)/data/accounts $(BENCH)/data/rows
	$(Q)$(BENCH)/growth examples/ledger $(BENCH)/data/accounts $(BENCH)/results.json accounts 300000 100000 1000000 10000000
	$(Q)$(BENCH)/growth examples/ledger $(BENCH)/data/rows $(BENCH)/results.json rows 10000000
	$(Q)rm -rf $(BENCH)/data

bench-peers: all ## measure Redis, Tarantool and SQLite on the same ledger; installs them
	$(Q)bench/peers/run install
	@$(MAKE) -s $(BENCH)/peers
	$(Q)rm -rf $(BENCH)/peers.json $(BENCH)/data && mkdir -p $(BENCH)/data/many $(BENCH)/data/one
	$(Q)bench/peers/run measure $(BENCH)/peers $(BENCH)/data/many $(BENCH)/peers.json 100000 450000 1000
	$(Q)bench/peers/run measure $(BENCH)/peers $(BENCH)/data/one $(BENCH)/peers.json 100000 3000 1
	$(Q)rm -rf $(BENCH)/data

bench-store: $(BENCH)/store ## measure commits of a ledger: the log, LMDB, the bare write and sync
	$(Q)folder=$$(mktemp -d) && $< $$folder; rm -rf $$folder

# The ledger, in all the ways that programs pick from.
BENCH_LEDGER = ledger_measure ledger_stator ledger_ways ledger_builtin
$(BENCH)/libledger.a: $(BENCH_LEDGER:%=$(BENCH)/%.o)
	$(Q)rm -f $@ && ar rcs $@ $^

$(BENCH)/%.o: bench/%.c $(wildcard bench/*.h) $(LIB_OBJECTS)
	@mkdir -p $(@D)
	$(say) CC $<
	$(Q)$(CC) $(ALL_CFLAGS) -Ibench -c $< -o $@

$(BENCH)/counter.o: plugins/counter/counter.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -DSTATOR_STATIC_PLUGIN -Dstator_plugin_entry=bench_counter -c $< -o $@

$(BENCH)/storage: $(BENCH)/counter.o
$(BENCH_PROGRAMS:%=$(BENCH)/%) $(BENCH)/store: $(BENCH)/%: $(BENCH)/%.o $(BENCH)/libledger.a $(BUILD)/libstator.a
	$(say) LINK $@
	$(Q)$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LDLIBS)

# SQLite is in it where its header is.
SQLITE = $(shell pkg-config --exists sqlite3 && echo sqlite)
$(BENCH)/peers: $(wildcard bench/peers/*.[ch]) $(BENCH)/libledger.a $(BUILD)/libstator.a
	$(say) LINK $@
	$(Q)$(CC) $(ALL_CFLAGS) -Ibench -Ibench/peers $(if $(SQLITE),-DBENCH_SQLITE) $(LDFLAGS) -o $@ \
		$(patsubst %,bench/peers/%.c,peers pipe redis tarantool $(SQLITE)) $(filter %.a,$^) $(LDLIBS) \
		$(if $(SQLITE),-lsqlite3)

install: all ## install into $(DESTDIR)$(PREFIX)
	install -d $(addprefix $(DESTDIR)$(PREFIX)/,bin lib/pkgconfig include share/man/man1)
	install $(BUILD)/stator $(DESTDIR)$(PREFIX)/bin
	install -m 644 $(BUILD)/libstator.a $(DESTDIR)$(PREFIX)/lib
	install $(BUILD)/libstator.so.$(VERSION) $(DESTDIR)$(PREFIX)/lib
	ln -sf libstator.so.$(VERSION) $(DESTDIR)$(PREFIX)/lib/libstator.so.$(SOVERSION)
	ln -sf libstator.so.$(SOVERSION) $(DESTDIR)$(PREFIX)/lib/libstator.so
	install -m 644 src/include/stator.h src/include/stator_plugin.h $(DESTDIR)$(PREFIX)/include
	sed 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|' src/include/stator.pc.in \
		>$(DESTDIR)$(PREFIX)/lib/pkgconfig/stator.pc
	install -m 644 src/cli/stator.1 $(DESTDIR)$(PREFIX)/share/man/man1

clean: ## remove what was built
	rm -rf build

$(BUILD)/obj/%.o: src/%.c
	@mkdir -p $(@D)
	$(say) CC $<
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/obj/embedded.o: $(BUILD)/gen/embedded.c
	@mkdir -p $(@D)
	$(say) CC $<
	$(Q)$(CC) $(ALL_CFLAGS) -c $< -o $@

$(BUILD)/gen/embedded.c: lua/embed.lua $(LUA_MODULES) lua/stator/sys.vsql $(FFI_HEADERS)
	@mkdir -p $(@D)
	$(say) EMBED $@
	$(Q)luajit lua/embed.lua $@ $(@D)/ffi.cdef $(foreach m,$(LUA_MODULES),stator.$(notdir $(m:.lua=))=$(m)) \
		sys.vsql=lua/stator/sys.vsql $(foreach h,$(FFI_HEADERS),h=$(h))

$(LIB_OBJECTS): CFLAGS += $(LTO)
LIBRARY = $(if $(LTO),$(BUILD)/obj/libstator.o,$(LIB_OBJECTS))
$(BUILD)/obj/libstator.o: $(LIB_OBJECTS)
	$(say) LTO $@
	$(Q)$(CC) $(ALL_CFLAGS) $(LTO) -r -flinker-output=nolto-rel -o $@ $^

$(BUILD)/libstator.a: $(LIBRARY)
	$(say) AR $@
	$(Q)rm -f $@ && ar rcs $@ $^

$(BUILD)/libstator.so.$(VERSION): $(LIBRARY)
	$(say) LINK $@
	$(Q)$(CC) -shared -Wl,-soname,libstator.so.$(SOVERSION) $(if $(SANITIZER),,-Wl$(comma)-z$(comma)defs) \
		$(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/libstator.so: $(BUILD)/libstator.so.$(VERSION)
	$(Q)ln -sf libstator.so.$(VERSION) $(BUILD)/libstator.so.$(SOVERSION)
	$(Q)ln -sf libstator.so.$(SOVERSION) $@

$(BUILD)/stator: $(CLI_OBJECTS) $(BUILD)/libstator.a
	$(say) LINK $@
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# Plugins stand on the public header alone, and link to nothing of the host.
PLUGINS = counter template http sendmail
LDLIBS_http = -lcurl
LDLIBS_sendmail = -lcurl
PLUGIN_FILES = $(PLUGINS:%=$(BUILD)/plugins/%.so)
plugins: $(PLUGIN_FILES) ## build the plugins
$(BUILD)/plugins/%.so: plugins/%
	@mkdir -p $(@D)
	$(say) PLUGIN $@
	$(Q)$(CC) $(ALL_CFLAGS) -shared -Wl,-z,defs $(LDFLAGS) -o $@ $</$*.c $(LDLIBS_$*)
$(PLUGIN_FILES): src/include/stator_plugin.h $(wildcard plugins/*/*.c)

# The library with all its symbols, for specs of what is inside; and room by room,
# for those that put something in the place of a part.
SPEC_OBJECTS = $(LIB_SOURCES:src/%.c=$(BUILD)/spec-obj/%.o) $(BUILD)/spec-obj/embedded.o
$(BUILD)/libstator-spec.so: $(SPEC_OBJECTS) $(BUILD)/libstator-spec.a
	$(say) LINK $@
	$(Q)$(CC) -shared $(LDFLAGS) -o $@ $(SPEC_OBJECTS) $(LDLIBS)

$(BUILD)/libstator-spec.a: $(SPEC_OBJECTS)
	$(say) AR $@
	$(Q)rm -f $@ && ar rcs $@ $^

$(BUILD)/spec-obj/embedded.o: $(BUILD)/gen/embedded.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -fvisibility=default -c $< -o $@

$(BUILD)/spec-obj/%.o: src/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -fvisibility=default -MMD -MP -c $< -o $@

-include $(LIB_OBJECTS:.o=.d) $(CLI_OBJECTS:.o=.d)
-include $(LIB_SOURCES:src/%.c=$(BUILD)/spec-obj/%.d)
