/* console_script: the console's commands about the rules: what serves, new versions, canaries,
 * rollbacks, history, differences. What they order is done by the script module's own thread
 * (script_order); here are only words in and tables out. */
#pragma once
#include "admin/console.h"
#include "script/script.h"

/* Before console_start; script lives as long as the console. */
void console_script_add(console_t *c, script_t *script);
