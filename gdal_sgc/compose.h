/* Many patches' pixels -> one chunk, by the definition's rule. */
#ifndef SGC_COMPOSE_H
#define SGC_COMPOSE_H

#include "datasets/definition.h"

#include "store/error.h"

SGC_BEGIN_C

enum { SGC_PIXEL_FIXED = 2 };

/* A chunk under composition: `rect` pixels of a level in rows of `stride` items. */
typedef struct sgc_canvas {
    sgc_rect rect;
    int64_t stride;
    GDALDataType type;
    unsigned char *pixels; /* stride x rect.height items or more */
    uint8_t *valid;        /* rect.width x rect.height: 1 where a patch gave the pixel its value,
                            * SGC_PIXEL_FIXED where no patch may change it */
    sgc_composite rule;
} sgc_canvas;

/* True when no patch can change a pixel of `window` any more. */
bool sgc_canvas_is_full(const sgc_canvas *canvas, sgc_rect window);

/* Applies the pixels of a patch in `window`, which lies inside the canvas: window.width x
 * window.height items and validities. Patches come in the order of their ids. */
void sgc_canvas_apply(sgc_canvas *canvas, sgc_rect window, const void *pixels,
                      const uint8_t *valid);

SGC_END_C

#endif
