/** The types that an embedder sees. Compiled with the tests; it has nothing to run. */
import { expectTypeOf } from "expect-type";
import * as z from "zod";
import {
  addressOf,
  ask,
  type Capacity,
  defineThreadLogic,
  type LimitName,
  type Limits,
  type NewThread,
  type SessionConfiguredEvent,
  type ShutdownReport,
  type SubmissionId,
  submissionId,
  type TaskOutcome,
  type Thread,
  type ThreadEvent,
  type ThreadId,
  ThreadManager,
  type TurnResult,
  tool,
} from "../../src/index.ts";

declare const manager: ThreadManager;
declare const thread: Thread;
declare const threadId: ThreadId;

expectTypeOf(ThreadManager.create).returns.resolves.toEqualTypeOf<ThreadManager>();
expectTypeOf(manager.startThread).returns.resolves.toEqualTypeOf<NewThread>();
expectTypeOf<NewThread>().toEqualTypeOf<{
  readonly threadId: ThreadId;
  readonly thread: Thread;
  readonly sessionConfigured: SessionConfiguredEvent;
}>();
expectTypeOf(manager.removeThread(threadId)).resolves.toEqualTypeOf<Thread | undefined>();
expectTypeOf(manager.listThreadIds()).resolves.toEqualTypeOf<ThreadId[]>();
expectTypeOf(manager.sendOp(threadId, { type: "interrupt" })).resolves.toEqualTypeOf<SubmissionId>();
expectTypeOf(manager.shutdown()).resolves.toEqualTypeOf<ShutdownReport>();
expectTypeOf(manager.capacity()).toEqualTypeOf<Capacity>();
expectTypeOf<ThreadManager>().toExtend<AsyncDisposable>();
expectTypeOf<Thread>().toExtend<AsyncDisposable>();

// A reply's type follows from the message.
expectTypeOf(ask(manager.supervisor, { type: "thread.spawn" })).resolves.toEqualTypeOf<NewThread>();
expectTypeOf(ask(manager.supervisor, { type: "thread.get", threadId })).resolves.toEqualTypeOf<Thread>();
expectTypeOf(ask(manager.supervisor, { type: "thread.remove", threadId })).resolves.toEqualTypeOf<Thread | undefined>();
expectTypeOf(ask(manager.supervisor, { type: "thread.list" })).resolves.toEqualTypeOf<readonly ThreadId[]>();

// Ids are not any text.
expectTypeOf<string>().not.toExtend<ThreadId>();
expectTypeOf<ThreadId>().toExtend<string>();
// @ts-expect-error a submission is no thread
threadId satisfies SubmissionId;

// A tool's input follows from its schema; a result's output from the schema that was asked for.
tool({
  name: "add",
  description: "",
  input: z.object({ a: z.number() }),
  execute: (input, context) => {
    expectTypeOf(input).toEqualTypeOf<{ a: number }>();
    expectTypeOf(context.signal).toEqualTypeOf<AbortSignal>();
  },
});
expectTypeOf(thread.run("x")).resolves.toExtend<TurnResult>();
const shaped = thread.run("x", { outputSchema: z.object({ answer: z.number() }) });
expectTypeOf<NonNullable<Awaited<typeof shaped>["output"]>>().toEqualTypeOf<{ answer: number }>();

expectTypeOf(thread.events()).toEqualTypeOf<AsyncIterableIterator<ThreadEvent, undefined>>();
expectTypeOf(thread.submit).parameter(0).toExtend<{ type: string }>();
// @ts-expect-error there is no such option
void manager.startThread({ modell: "x" });

// The supervisor takes its messages, each with its own fields; a reply follows from its message.
manager.supervisor.send({ type: "thread.spawn", config: { cwd: "/tmp" } });
// @ts-expect-error a misspelt message
manager.supervisor.send({ type: "thread.spwan" });
// @ts-expect-error no message
manager.supervisor.send("text");
// @ts-expect-error no message
manager.supervisor.send(undefined);
// @ts-expect-error a misspelt message
void ask(manager.supervisor, { type: "thread.spwan" });
// @ts-expect-error a misspelt setting
void ask(manager.supervisor, { type: "thread.spawn", config: { cwdd: "/tmp" } });
// @ts-expect-error a config that is none
void ask(manager.supervisor, { type: "thread.spawn", config: 5 });
// @ts-expect-error without its thread
void ask(manager.supervisor, { type: "thread.get" });
// @ts-expect-error there is no such option
void ThreadManager.create({ modle: 1 });
// @ts-expect-error there is no such option
void manager.startThread({}, { threadid: threadId });
// @ts-expect-error a number is no input
void thread.run(5);
// @ts-expect-error a number is no tool
void ThreadManager.create({ config: { tools: [5] } });
// @ts-expect-error a misspelt field
void ask(manager.supervisor, { type: "thread.spawn", confg: {} });
// @ts-expect-error a misspelt field
manager.supervisor.send({ type: "thread.list", limit: 5 });
// @ts-expect-error no decision
void thread.submit({ type: "exec_approval", id: "1", decision: "yes" });
expectTypeOf(submissionId("x")).toEqualTypeOf<SubmissionId>();
expectTypeOf(defineThreadLogic({ start: () => ({ n: 1 }), turn: ({ state }) => String(state.n) })).toExtend<
  NonNullable<Parameters<typeof ThreadManager.create>[0]>["threadLogic"]
>();
// A limit that refuses is one that can be set.
expectTypeOf<LimitName>().toExtend<keyof Limits>();

// Many at once: results and wrong calls.
expectTypeOf(manager.map([1, 2], { run: async (n) => String(n) })).resolves.toEqualTypeOf<string[]>();
expectTypeOf(manager.map(["a"])).resolves.toEqualTypeOf<TurnResult[]>();
expectTypeOf(manager.map([1], { run: (n) => n, onFailure: "settle" })).resolves.toEqualTypeOf<TaskOutcome<number>[]>();
expectTypeOf(manager.gather([() => "a", Promise.resolve(1)])).resolves.toEqualTypeOf<[string, number]>();
expectTypeOf(manager.race([async () => 1, Promise.resolve(2)])).resolves.toEqualTypeOf<number>();
expectTypeOf(thread.step("x", async () => ({ n: 1 }))).resolves.toEqualTypeOf<{ n: number }>();
// @ts-expect-error numbers are no prompts
void manager.map([1]);
// @ts-expect-error no mode
void manager.map([1], { run: () => 1, onFailure: "ignore" });
// @ts-expect-error there is no such option
void manager.map([1], { run: () => 1, concurency: 5 });
// @ts-expect-error a number is no task
void manager.gather([5]);
// @ts-expect-error a score is a number
void manager.tournament(thread, 2, { run: () => "x", score: () => "high" });
// @ts-expect-error a step has a function
void thread.step("x", 5);
// @ts-expect-error no decision of what to do
void thread.step("x", () => 1, { onCut: "ignore" });
// @ts-expect-error no code of an error
void thread.step("x", () => 1, { retryOn: ["no_such_code"] });
// @ts-expect-error no approval
tool({ name: "x", description: "", approval: "sometimes", execute: () => 1 });
// @ts-expect-error a turn has an input
defineThreadLogic({ turn: ({ startTurn }) => startTurn() });

// Messages: where the receiver's declarations are known, a wrong one does not compile, and a reply has its type.
const clerk = defineThreadLogic({
  start: () => ({ orders: 0 }),
  messages: {
    order: z.object({ sku: z.string(), count: z.number().default(1) }),
    price: { message: z.object({ sku: z.string() }), reply: z.object({ cents: z.number() }) },
  },
  receive: {
    order: (message, { state, from }) => {
      expectTypeOf(message.count).toEqualTypeOf<number>();
      expectTypeOf(message.type).toEqualTypeOf<"order">();
      expectTypeOf(from).toEqualTypeOf<ThreadId | null>();
      state.orders += message.count;
    },
    price: ({ sku }) => ({ cents: sku.length }),
  },
  turn: ({ state }) => String(state.orders),
});
const clerkAt = addressOf(threadId, clerk.messages);
expectTypeOf(thread.send(clerkAt, { type: "order", sku: "x" })).resolves.toEqualTypeOf<SubmissionId>();
expectTypeOf(manager.request(clerkAt, { type: "price", sku: "x" })).resolves.toEqualTypeOf<{ cents: number }>();
expectTypeOf(thread.request(threadId, { type: "anything", at: 1 })).resolves.toEqualTypeOf<unknown>();
void thread.send(thread, { type: "anything", at: 1 });
// @ts-expect-error a type that the clerk does not declare
void thread.send(clerkAt, { type: "ordr", sku: "x" });
// @ts-expect-error without its fields
void thread.send(clerkAt, { type: "order" });
// @ts-expect-error a field of another type
void manager.send(clerkAt, { type: "order", sku: 5 });
// @ts-expect-error it is told, and not asked
void thread.request(clerkAt, { type: "order", sku: "x" });
// @ts-expect-error a message has a type
void thread.send(threadId, { sku: "x" });
// @ts-expect-error no such option
void thread.send(clerkAt, { type: "order", sku: "x" }, { durabel: true });
defineThreadLogic({
  messages: { price: { message: z.object({}), reply: z.object({ cents: z.number() }) } },
  // @ts-expect-error the reply is another one
  receive: { price: () => ({ cents: "five" }) },
  turn: () => "x",
});
// @ts-expect-error whether it is interrupted is yes or no
void manager.listThreads({ interrupted: "yes" });
