/* SPDX-License-Identifier: Apache-2.0 */
/* A data file of any bytes, looked at before LMDB may: never a crash, always a verdict. */
#include "base/ensure.h"
#include "store/structure.h"

#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct structure_report report = { 0 };
    struct error error = { 0 };
    int fd = memfd_create("data", MFD_CLOEXEC);

    ensure(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    enum structure_state state = structure_check(fd, &report, &error);
    ensure((state == STRUCTURE_SOUND) == (error.message[0] == '\0'));
    if (state != STRUCTURE_DAMAGED)
        ensure(report.end_page <= size / 4096 && report.tree_pages <= report.end_page);
    if (state == STRUCTURE_TORN) {
        ensure(structure_drop_newest(fd, &error));
        ensure(structure_check(fd, &report, &error) != STRUCTURE_DAMAGED);
    }
    close(fd);
    return 0;
}
