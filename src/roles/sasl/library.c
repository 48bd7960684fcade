/* SPDX-License-Identifier: Apache-2.0 */
#include "library.h"

#include "base/base64.h"
#include "base/file.h"
#include "base/memory.h"

#include <dlfcn.h>
#include <sasl/sasl.h>

#define LIBRARY_NAME "libsasl2.so.2"
#define FUNCTIONS(F)                                                                               \
    F(dispose)                                                                                     \
    F(errstring)                                                                                   \
    F(getprop)                                                                                     \
    F(listmech) F(server_init) F(server_new) F(server_start) F(server_step) F(set_path) F(setprop)

enum { CONFIGURATION_BYTES_MAX = 64 * 1024 };

struct sasl_library {
#define FUNCTION(name) __typeof__(sasl_##name) *name;
    FUNCTIONS(FUNCTION)
#undef FUNCTION
    const struct log_context *log;
    struct arena arena;
    sasl_callback_t callbacks[2]; /* the library keeps a pointer to them */
    const char *data_base;
};

struct sasl_exchange {
    struct sasl_library *library;
    sasl_conn_t *connection;
};

/* ---- loading ---- */

static bool load(struct sasl_library *library, struct error *error)
{
    void *handle = dlopen(LIBRARY_NAME, RTLD_NOW | RTLD_GLOBAL); /* plugins refer to it */

    if (handle == NULL)
        return error_set(error, "%s: install libsasl2-2 and libsasl2-modules", dlerror());
#define FUNCTION(name)                                                                             \
    *(void **)&library->name = dlsym(handle, "sasl_" #name);                                       \
    if (library->name == NULL)                                                                     \
        return error_set(error, "%s has no sasl_" #name, LIBRARY_NAME);
    FUNCTIONS(FUNCTION)
#undef FUNCTION
    return true;
}

/* In Postfix's words. */
static int log_message(void *context, int priority, const char *message)
{
    const struct sasl_library *library = context;

    if (priority == SASL_LOG_ERR || priority == SASL_LOG_WARN)
        log_warning(library->log, "SASL authentication problem: %s", message);
    else if (priority == SASL_LOG_FAIL)
        log_warning(library->log, "SASL authentication failure: %s", message);
    return SASL_OK;
}

/* The value of "sasldb_path: /etc/sasldb2" in the first configuration file of the path. */
static const char *find_data_base(struct sasl_library *library, const char *path, struct str name)
{
    struct str folders = str_from(path), folder;

    while (str_next_word(&folders, ":", &folder)) {
        autofree_buf struct buf text = { 0 };
        struct error unused;
        const char *file =
            arena_printf(&library->arena, "%.*s/%.*s.conf", STR_ARGS(folder), STR_ARGS(name));
        if (!file_read(file, CONFIGURATION_BYTES_MAX, &text, &unused))
            continue;
        struct str rest = buf_str(&text);
        while (rest.len > 0) {
            struct str value = str_cut(&rest, "\n");
            if (str_equal(str_trim(str_cut(&value, ":")), STR("sasldb_path")))
                return arena_text(&library->arena, str_trim(value));
        }
        break;
    }
    return "/etc/sasldb2";
}

static bool initialise(struct sasl_library *library, const struct config *config,
                       struct error *error)
{
    struct str name = config->smtpd_sasl_path;
    struct str wanted = config->cyrus_sasl_config_path;
    const char *path =
        wanted.len > 0 ? arena_text(&library->arena, wanted)
                       : arena_printf(&library->arena, "%.*s/sasl:/etc/postfix/sasl:/usr/lib/sasl2",
                                      STR_ARGS(config->config_directory));
    /* The library calls it by the type that its number stands for. */
    int (*const log)(void *context, int priority, const char *message) = log_message;
    char *writable = memory_copy_string(path); /* as sasl_set_path wants it */
    int code = library->set_path(SASL_PATH_TYPE_CONFIG, writable);

    memory_free(writable);
    library->callbacks[0] = (sasl_callback_t){ .id = SASL_CB_LOG, .context = library };
    memcpy(&library->callbacks[0].proc, &log, sizeof log);
    library->callbacks[1] = (sasl_callback_t){ .id = SASL_CB_LIST_END };
    library->data_base = find_data_base(library, path, name);
    if (code == SASL_OK)
        code = library->server_init(library->callbacks, arena_text(&library->arena, name));
    return code == SASL_OK || error_set(error, "SASL per-process initialization failed: %s",
                                        library->errstring(code, NULL, NULL));
}

struct sasl_library *sasl_library_new(const struct config *config, const struct log_context *log,
                                      struct error *error)
{
    struct sasl_library *library = memory_new(sizeof *library);

    library->log = log;
    if (!load(library, error) || !initialise(library, config, error))
        sasl_library_free(&library);
    return library;
}

/* The library itself stays: its plugins do not bear being unloaded. */
void sasl_library_free(struct sasl_library **library)
{
    if (*library == NULL)
        return;
    arena_clear(&(*library)->arena);
    memory_free(*library);
    *library = NULL;
}

const char *sasl_library_data_base(const struct sasl_library *library)
{
    return library->data_base;
}

/* ---- exchanges ---- */

static bool connect_to(struct sasl_exchange *exchange, const struct cyrus_request *request,
                       struct error *error)
{
    /* No layer of its own below TLS. Which mechanisms may be used smtpd decides. */
    sasl_security_properties_t properties = { .maxbufsize = 0 };
    struct sasl_library *library = exchange->library;
    autoclear_arena struct arena scratch = { 0 };
    const char *realm = request->realm.len > 0 ? arena_text(&scratch, request->realm) : NULL;
    int code = library->server_new(arena_text(&scratch, request->service),
                                   arena_text(&scratch, request->host), realm, NULL, NULL, NULL, 0,
                                   &exchange->connection);

    if (code == SASL_OK)
        code = library->setprop(exchange->connection, SASL_SEC_PROPS, &properties);
    return code == SASL_OK || error_set(error, "SASL per-connection initialization failed: %s",
                                        library->errstring(code, NULL, NULL));
}

struct sasl_exchange *sasl_exchange_new(struct sasl_library *library,
                                        const struct cyrus_request *request, struct error *error)
{
    struct sasl_exchange *exchange = memory_new(sizeof *exchange);

    exchange->library = library;
    if (!connect_to(exchange, request, error))
        sasl_exchange_free(&exchange);
    return exchange;
}

void sasl_exchange_free(struct sasl_exchange **exchange)
{
    if (*exchange == NULL)
        return;
    if ((*exchange)->connection != NULL)
        (*exchange)->library->dispose(&(*exchange)->connection);
    memory_free(*exchange);
    *exchange = NULL;
}

void sasl_library_mechanisms(struct sasl_library *library, struct buf *names)
{
    const struct cyrus_request any = { .service = STR("smtp"), .host = STR("localhost") };
    struct error error;
    struct sasl_exchange *exchange = sasl_exchange_new(library, &any, &error);
    const char *list = "";

    if (exchange == NULL) {
        log_warning(library->log, "%s", error.message);
        return;
    }
    if (library->listmech(exchange->connection, NULL, "", " ", "", &list, NULL, NULL) == SASL_OK)
        buf_append_text(names, list);
    else
        log_warning(library->log, "no SASL authentication mechanisms");
    sasl_exchange_free(&exchange);
}

/* Nothing that the client could have done better. */
static bool is_our_fault(int code)
{
    return code == SASL_FAIL || code == SASL_NOMEM || code == SASL_BUFOVER ||
           code == SASL_TRYAGAIN || code == SASL_UNAVAIL;
}

/* A user who does not exist must look like a wrong password. */
static enum cyrus_step conclude(struct sasl_exchange *exchange, struct arena *arena, int code,
                                struct str out, struct str *text, struct str *user)
{
    autofree_buf struct buf challenge = { 0 };
    const void *name = NULL;

    *text = *user = STR("");
    if (code == SASL_CONTINUE) {
        base64_encode(out, &challenge);
        *text = arena_copy(arena, buf_str(&challenge));
        return CYRUS_CONTINUES;
    }
    if (exchange->library->getprop(exchange->connection, SASL_USERNAME, &name) == SASL_OK &&
        name != NULL)
        *user = arena_copy(arena, str_from(name));
    if (code == SASL_OK && user->len > 0)
        return CYRUS_ACCEPTS;
    if (code == SASL_NOUSER || code == SASL_OK)
        code = SASL_BADAUTH;
    *text = arena_copy(arena, str_from(exchange->library->errstring(code, NULL, NULL)));
    return is_our_fault(code) ? CYRUS_FAILS : CYRUS_REFUSES;
}

/* What the client said is no base64. */
static enum cyrus_step refuse(const struct sasl_exchange *exchange, struct str *text,
                              struct str *user)
{
    *text = str_from(exchange->library->errstring(SASL_BADPROT, NULL, NULL));
    *user = STR("");
    return CYRUS_REFUSES;
}

enum cyrus_step sasl_exchange_start(struct sasl_exchange *exchange, struct arena *arena,
                                    const struct cyrus_request *request, struct str *text,
                                    struct str *user)
{
    autofree_buf struct buf initial = { 0 };
    const char *out = "";
    unsigned out_len = 0;

    if (request->has_initial && !base64_decode(request->initial, &initial))
        return refuse(exchange, text, user);
    int code = exchange->library->server_start(
        exchange->connection, arena_text(arena, request->mechanism),
        request->has_initial ? buf_text(&initial) : NULL, (unsigned)initial.len, &out, &out_len);
    return conclude(exchange, arena, code, str_of(out != NULL ? out : "", out_len), text, user);
}

enum cyrus_step sasl_exchange_step(struct sasl_exchange *exchange, struct arena *arena,
                                   struct str response, struct str *text, struct str *user)
{
    autofree_buf struct buf decoded = { 0 };
    const char *out = "";
    unsigned out_len = 0;

    if (!base64_decode(response, &decoded))
        return refuse(exchange, text, user);
    int code = exchange->library->server_step(exchange->connection, buf_text(&decoded),
                                              (unsigned)decoded.len, &out, &out_len);
    return conclude(exchange, arena, code, str_of(out != NULL ? out : "", out_len), text, user);
}
