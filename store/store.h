/* The versioned Zarr store: the public face of the library, and the only header its users include.
 *
 *   sgc_object_store   a place for objects: a directory, memory
 *   sgc_repository     an Icechunk repository in such a place
 *   sgc_snapshot       its tree of groups and arrays at one commit; immutable
 *   sgc_session        a transaction on a branch
 *   sgc_array          an array at a snapshot, to read regions of it
 *
 * Beside these: what differs between two snapshots (diff.h), and expiration, garbage collection,
 * verification and copies (maintenance.h). store/example.c shows how they work together.
 *
 * Handles are shared among threads as their headers say; all functions report errors as error.h
 * describes. */
#ifndef SGC_STORE_H
#define SGC_STORE_H

#include "store/error.h"
#include "store/icechunk/diff.h"
#include "store/icechunk/maintenance.h"
#include "store/icechunk/repository.h"
#include "store/icechunk/session.h"
#include "store/memory.h"
#include "store/object_store.h"
#include "store/zarr/array.h"
#include "store/zarr/block_cache.h"
#include "store/zarr/json_text.h"
#include "store/zarr/metadata.h"

#endif
