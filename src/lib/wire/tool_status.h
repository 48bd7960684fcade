/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers that tools.def's status messages carry. */
#pragma once

/* What keeps a destination's next delivery from beginning. */
enum destination_block {
    BLOCK_NONE,
    BLOCK_DEAD,           /* it failed too often: nothing is tried */
    BLOCK_CONCURRENCY,    /* as many deliveries as its window lets run at once */
    BLOCK_DELAY,          /* destination_rate_delay */
    BLOCK_TRANSPORT_DELAY, /* transport_rate_delay */
    BLOCK_PROCESS_LIMIT,  /* as many deliveries as master.cf lets the transport run */
    BLOCK_WORKERS,        /* no worker can take more */
    BLOCK_DEFERRED,       /* the transport is in defer_transports */
    BLOCK_COUNT
};

/* What a limit's name is. */
enum limit_kind {
    LIMIT_TRANSPORT, /* "destination_rate_delay": main.cf's TRANSPORT_name, or default_name */
    LIMIT_GLOBAL,    /* a parameter of main.cf */
    LIMIT_SERVICE,   /* a column of the transport's line in master.cf */
};
