/* Numbers as text that gives them back to the last bit. */
#ifndef SGC_NUMBER_TEXT_H
#define SGC_NUMBER_TEXT_H

#include "store/error.h"

SGC_BEGIN_C

enum { SGC_NUMBER_TEXT_SIZE = 32 };

/* Writes a finite number with as few digits, but at least 15 where it has so many, as give it back;
 * valid JSON in every locale. */
void sgc_number_print(double value, char text[SGC_NUMBER_TEXT_SIZE]);

SGC_END_C

#endif
