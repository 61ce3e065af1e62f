/** What a message to a thread is for. */
import { isEmptyInput, taskKindOf } from "../../machines/thread.machine.ts";
import { definedFields } from "../protocol/defined-fields.ts";
import type { Op, OverrideTurnContextOp, RefreshMcpServersOp } from "../protocol/op.ts";
import type { OpMessage } from "./earlier-decisions.ts";
import type { Message } from "./wire.ts";

export const interrupts = (message: Message): boolean =>
  message.kind === "interrupt" || (message.kind === "op" && message.op.type === "interrupt");

export const changesSettings = (message: Message): boolean =>
  message.kind === "op" && message.op.type === "override_turn_context";

export type SettingOp = OverrideTurnContextOp | RefreshMcpServersOp;

/** What an op says of the settings, as an op of its own. */
export function settingsIn(op: Op): SettingOp | undefined {
  if (op.type === "override_turn_context" || op.type === "refresh_mcp_servers") return op;
  if (op.type !== "user_turn") return undefined;
  const { cwd, approval_policy, sandbox_policy, model, effort, summary } = op;
  const settings = { cwd, approval_policy, sandbox_policy, model, summary };
  return { type: "override_turn_context", ...settings, ...definedFields({ effort }) };
}

export const startsTask = (message: Message): message is OpMessage =>
  message.kind === "op" && taskKindOf(message.op) !== undefined && !isEmptyInput(message.op);
