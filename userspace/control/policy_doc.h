/* The built-in security policies as documents, made from the table of policies. Any thread. */
#ifndef SLUICE_CONTROL_POLICY_DOC_H
#define SLUICE_CONTROL_POLICY_DOC_H

#include <stdio.h>

/* docs/policies.md. */
void policy_doc_write_markdown(FILE *out);
/* The manual page sluice-policies(7), mdoc. */
void policy_doc_write_man(FILE *out);

#endif
