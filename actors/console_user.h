/* console_user: the console's commands about users: user, user disable, user freeze, user enable,
 * sessions, revoke. The rules are lua/operator.lua's; here they are asked and their answer is
 * shown. */
#pragma once
#include "actors/edge.h"
#include "admin/console.h"

/* Before console_start; edge_set_script is done. */
void console_user_add(console_t *c, edge_t *e);
