import { test } from "node:test";
import { expectTypeOf } from "expect-type";
import type { AgentMessageEvent, EventMsg, TaskStartedEvent, UnknownEventMsg } from "../../src/protocol/event.ts";
import type { Op, UserInputOp } from "../../src/protocol/op.ts";
import type { FunctionCallItem, ResponseItem } from "../../src/protocol/response-item.ts";
import type { RolloutItem, SessionMeta } from "../../src/protocol/rollout.ts";

/** Checked by the compiler; at run time these only have to load. */
test("a tag narrows to its kind although unknown kinds are in the union", () => {
  const onEvent = (msg: EventMsg): string => {
    if (msg.type === "agent_message") expectTypeOf(msg).toEqualTypeOf<AgentMessageEvent>();
    switch (msg.type) {
      case "task_started":
        expectTypeOf(msg).toEqualTypeOf<TaskStartedEvent>();
        return "";
      default:
        return msg.type;
    }
  };
  const onItem = (item: ResponseItem, line: RolloutItem, op: Op): void => {
    if (item.type === "function_call") expectTypeOf(item).toEqualTypeOf<FunctionCallItem>();
    if (line.type === "session_meta") expectTypeOf(line.payload).toEqualTypeOf<SessionMeta>();
    if (op.type === "user_input") expectTypeOf(op).toEqualTypeOf<UserInputOp>();
  };
  expectTypeOf<UnknownEventMsg>().toExtend<EventMsg>();
  expectTypeOf(onEvent).toBeFunction();
  expectTypeOf(onItem).toBeFunction();
});

test("a mistyped tag does not compile", () => {
  // @ts-expect-error -- no such op
  const op: Op = { type: "user_inptu", items: [] };
  // @ts-expect-error -- a known op without its fields
  const bare: Op = { type: "user_input" };
  expectTypeOf([op, bare]).toBeArray();
});
