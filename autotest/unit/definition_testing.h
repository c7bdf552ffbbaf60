/* What tests of definitions share. */
#ifndef SGC_DEFINITION_TESTING_H
#define SGC_DEFINITION_TESTING_H

#include "datasets/definition.h"

enum { DOCUMENT_SIZE = 4096 };

/* A small definition without errors, called "x", of kind "stac". */
extern const char good_definition[];

/* Writes `document` with its first `part` replaced. */
void edit_definition(const char *document, const char *part, const char *by,
                     char out[DOCUMENT_SIZE]);

/* Parses what has no errors. */
sgc_definition *parsed_definition(const char *text);

/* Parsing `text` fails; the message begins with the name of the document and says `message`. */
void assert_refused(const char *text, char *const *parameters, const char *message);

#endif
