/* fuzz: what the libFuzzer programs share. An input is taken from its front, byte by byte and block by block; a block
 * is a size byte and so many bytes. What is not there any more is 0, or empty. */
#ifndef PYH_TEST_FUZZ_H
#define PYH_TEST_FUZZ_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "message.h"
#include "value_channel.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct fuzz_input {
    const uint8_t *at;
    size_t left;
} fuzz_input;

/* Not CHECK: libFuzzer keeps the input of what aborts. */
static inline void fuzz_require(bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "this does not hold: %s\n", what);
        abort();
    }
}

static inline unsigned fuzz_byte(fuzz_input *input)
{
    if (input->left == 0) {
        return 0;
    }
    input->left--;
    return *input->at++;
}

/* The next so many bytes, or what is left of them. */
static inline fuzz_input fuzz_take(fuzz_input *input, size_t size)
{
    fuzz_input part = {input->at, size < input->left ? size : input->left};
    input->at += part.left;
    input->left -= part.left;
    return part;
}

static inline fuzz_input fuzz_block(fuzz_input *input)
{
    size_t size = fuzz_byte(input);
    return fuzz_take(input, size);
}

/* A message of so many blocks as buffers, the channel as one more unless it is NULL, and the rest of the input as its
 * payload; the caller's. */
static inline pyh_message *fuzz_message(fuzz_input *input, unsigned buffers, pyh_value_channel *channel)
{
    pyh_writer writer = {0};
    pyh_message *message = NULL;
    for (unsigned i = 0; i < buffers && input->left > 0; i++) {
        fuzz_input block = fuzz_block(input);
        pyh_writer_buffer(&writer, block.at, block.left);
    }
    if (channel != NULL) {
        pyh_writer_share(&writer, pyh_value_channel_as_buffer(channel));
    }
    pyh_writer_bytes(&writer, input->at, input->left);
    fuzz_require(pyh_writer_finish(&writer, &message) == PYHOST_OK, "there is memory");
    return message;
}

static inline bool fuzz_messages_equal(const pyh_message *one, const pyh_message *other)
{
    bool equal = one->size == other->size && one->buffer_count == other->buffer_count &&
                 memcmp(one->payload, other->payload, one->size) == 0;
    for (uint32_t i = 0; equal && i < one->buffer_count; i++) {
        const pyh_buffer *left = &one->buffers[i], *right = &other->buffers[i];
        equal = left->size == right->size && pyh_value_channel_of_buffer(left) == pyh_value_channel_of_buffer(right) &&
                (left->size == 0 || memcmp(left->data, right->data, left->size) == 0);
    }
    return equal;
}

/* The folder that --seeds names, made if it is not there; NULL: none is asked for. */
static inline const char *fuzz_seed_folder(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--seeds=", 8) == 0) {
            mkdir(argv[i] + 8, 0777);
            return argv[i] + 8;
        }
    }
    return NULL;
}

/* A file in the folder for an input, to be given to fuzz_seed_write when what comes before the message is in it. */
static inline FILE *fuzz_seed_open(const char *folder, const char *kind, size_t index)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s-%02zu", folder, kind, index);
    FILE *file = fopen(path, "wb");
    fuzz_require(file != NULL, path);
    return file;
}

/* Writes what fuzz_message reads, but a channel, and closes the file. */
static inline void fuzz_seed_write(FILE *file, const pyh_message *message)
{
    for (uint32_t i = 0; i < message->buffer_count && pyh_value_channel_of_buffer(&message->buffers[i]) == NULL; i++) {
        fputc((int)message->buffers[i].size, file);
        fwrite(message->buffers[i].data, 1, message->buffers[i].size, file);
    }
    fwrite(message->payload, 1, message->size, file);
    fuzz_require(fclose(file) == 0, "a seed is written");
}

#endif
