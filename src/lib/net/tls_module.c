/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tls_library.h"

__attribute__((visibility("default"))) const struct tls_library waypost_tls_library = {
#define TLS_LIBRARY_FUNCTION(name) .name = name,
    TLS_LIBRARY_FUNCTIONS(TLS_LIBRARY_FUNCTION)
#undef TLS_LIBRARY_FUNCTION
};
