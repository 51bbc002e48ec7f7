/* api_tables.h: the tables of docs/api.md, out of the tables that the server runs on. */
#pragma once
#include "base/buf.h"

/* Routes, fields, refusals: Markdown, an empty line between tables. */
void api_markdown(struct buf *out);
