/* api_function: what other parts of the interface need of a handle. */
#ifndef PYH_API_FUNCTION_H
#define PYH_API_FUNCTION_H

#include "api.h"
#include "completions.h"
#include "interp.h"

/* The runtime's table of plugins; borrowed. */
pyh_router *pyh_api_router(pyhost_runtime *runtime);

/* "plugin.function". */
const char *pyh_function_name(const pyhost_function *function);

/* Where the answer of a call goes that nobody waits for. */
typedef struct pyh_submission {
    pyh_completions *completions; /* borrowed; NULL: nowhere */
    void *token;
    pyhost_answer_function *answer;
} pyh_submission;

/* Queues a call. On OK *accepted is the caller's reference, and its deadline is not armed yet. The builder is empty in
 * any case. */
pyhost_status pyh_function_submit(pyhost_function *function, pyhost_builder *arguments, int64_t timeout_ns,
                                  const pyh_submission *how, pyh_call **accepted, pyhost_error **error);

/* Gives a call's status and reply (taken over) to the caller: the result, or an error about the function. */
pyhost_status pyh_function_conclude(pyhost_status status, pyh_message *reply, const char *name, pyhost_value **result,
                                    pyhost_error **error);

#endif
