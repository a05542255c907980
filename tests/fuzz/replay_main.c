/* Runs a fuzz target over the files of a folder, one after the other: for compilers without libFuzzer, and for coverage. */
#define _POSIX_C_SOURCE 200809L

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>

#define BYTES_MAX 65536u
#define PATH_BYTES 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run(const char *folder, const char *name)
{
    static uint8_t data[BYTES_MAX];
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return 1;
    }
    const size_t size = fread(data, 1, sizeof data, file);
    (void)fclose(file);
    (void)LLVMFuzzerTestOneInput(data, size);
    return 0;
}

int main(int count, char **arguments)
{
    DIR *folder = count == 2 ? opendir(arguments[1]) : NULL;
    if (folder == NULL) {
        fputs("replay: give a folder of inputs\n", stderr);
        return 2;
    }
    unsigned runs = 0;
    int failed = 0;
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        if (entry->d_name[0] != '.') {
            failed |= run(arguments[1], entry->d_name);
            runs++;
        }
    }
    (void)closedir(folder);
    printf("replay: %u inputs\n", runs);
    return failed;
}
