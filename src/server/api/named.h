/* named.h: which of the models that are served a name means. Pure. A model has three names: the one that it is listed
 * under (its alias, or else the file's name), the file's name without folders, and that with .gguf. They are compared
 * as they are written: upper and lower case differ. A file's name that several models have names none of them. */
#pragma once
#include "server/api/problem.h"
#include "server/api/view.h"

/* v: any of the views. NULL: nothing has this name. */
const struct view *named_exactly(const struct view *v, struct str name);
/* The same for what stands in a path or a query: as it came or, if nothing has that name, with %XX as bytes. */
const struct view *named_in_url(const struct view *v, struct str name);
/* Of all names the one with the fewest edits to this one, upper and lower case the same; the first of equals. */
const char *named_nearest(const struct view *v, struct str name);

/* The model of a request: where one is served it is that, whatever the name. Of several the one that is named; else it
 * is refused with the nearest, and with all there are. name.ptr NULL: the request names none. Returns NULL then. */
const struct view *named_by_request(const struct view *v, struct str name, struct problem *p);
/* Refuses a name that nothing has. */
bool named_refuse(const struct view *v, struct str name, struct problem *p);
