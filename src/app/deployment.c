/*
 * deployment.c: a version at work.
 */
#include <stdlib.h>

#include "app/app.h"

int
stator__deployment_new(stator_deployment **out, stator_version *version,
		       uint32_t partition_count,
		       const stator_deployment *before, stator_error *err)
{
	stator_deployment *d = stator__alloc(sizeof(*d));
	int code = STATOR_OK;

	d->version = version;
	d->partition_count = partition_count;
	d->instances = stator__alloc(partition_count * sizeof(*d->instances));
	d->breakers = stator__alloc(partition_count * sizeof(*d->breakers));
	for (uint32_t i = 0; i < partition_count; i++)
		d->breakers[i] = stator__alloc((version->def->ext_count + 1) *
					       sizeof(**d->breakers));
	for (uint32_t i = 0; i < partition_count && !code; i++)
		code = stator__registry_attach(
			version->registry, i,
			before ? before->version->registry : NULL,
			before ? before->instances[i] : NULL, &d->instances[i],
			err);
	if (code) {
		stator__deployment_free(d);
		return code;
	}
	*out = d;
	return STATOR_OK;
}

void
stator__deployment_free(stator_deployment *d)
{
	if (d == NULL)
		return;
	for (uint32_t i = 0; i < d->partition_count; i++) {
		stator__registry_detach(d->version->registry, d->instances[i]);
		free(d->breakers[i]);
	}
	free(d->instances);
	free(d->breakers);
	stator__version_free(d->version);
	free(d);
}
