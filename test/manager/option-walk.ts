/** Every call of the facades with options that are given for it: what is walked over managers and over connections to a cluster alike. */
import assert from "node:assert/strict";
import { InvalidRequestError } from "../../src/index.ts";

// biome-ignore lint/suspicious/noExplicitAny: a program without types
type Untyped = any;
type Given = {
  readonly m: Untyped;
  readonly t: Untyped;
  readonly c?: Untyped;
  readonly g?: Untyped;
  readonly id: string;
};
/** Each call with options of any kind. `o` is what is given for them. */
export type Calls = Readonly<Record<string, (o: Untyped, on: Given) => unknown>>;

const op = { type: "interrupt" };

export const THREAD: Calls = {
  setBudget: (o, { t }) => t.setBudget(o),
  schedule: (o, { t }) => t.schedule({ after: 1e6 }, op, o),
  submit: (o, { t }) => t.submit(op, o),
  submitWithId: (o, { t }) => t.submitWithId({ id: "one", op }, o),
  outcomeOf: (o, { t }) => t.outcomeOf("one", o),
  ready: (o, { t }) => t.ready(o),
  nextEvent: (o, { t }) => t.nextEvent(o),
  events: (o, { t }) => t.events(o),
  run: (o, { t }) => t.run("x", o),
  compact: (o, { t }) => t.compact(o),
  rollback: (o, { t }) => t.rollback(1, o),
  review: (o, { t }) => t.review({ type: "custom", instructions: "x" }, o),
  step: (o, { t }) => t.step("once", () => 1, o),
  interrupt: (o, { t }) => t.interrupt(o),
  monitor: (o, { t, id }) => t.monitor(id, o),
  link: (o, { t, id }) => t.link(id, o),
  send: (o, { t, id }) => t.send(id, { type: "note" }, o),
  request: (o, { t, id }) => t.request(id, { type: "note" }, o),
  publish: (o, { t }) => t.publish("news", { type: "note" }, o),
  shutdown: (o, { t }) => t.shutdown(o),
};

export const MANAGER: Calls = {
  startThread: (o, { m }) => m.startThread({}, o),
  resumeThreadFromRollout: (o, { m }) => m.resumeThreadFromRollout({}, "/nowhere", o),
  resumeThreadWithHistory: (o, { m }) => m.resumeThreadWithHistory({}, { type: "new" }, o),
  resumeThread: (o, { m, id }) => m.resumeThread(id, {}, o),
  forkThread: (o, { m, id }) => m.forkThread({ from: id }, o),
  removeThread: (o, { m, id }) => m.removeThread(id, o),
  deleteThread: (o, { m, id }) => m.deleteThread(id, o),
  getThread: (o, { m, id }) => m.getThread(id, o),
  listThreads: (o, { m }) => m.listThreads(o),
  recoverThreads: (o, { m }) => m.recoverThreads(o),
  sendOp: (o, { m, id }) => m.sendOp(id, op, o),
  send: (o, { m, id }) => m.send(id, { type: "note" }, o),
  request: (o, { m, id }) => m.request(id, { type: "note" }, o),
  publish: (o, { m, id }) => m.publish(id, "news", { type: "note" }, o),
  map: (o, { m }) => m.map(["x"], o),
  gather: (o, { m }) => m.gather([() => 1], o),
  race: (o, { m }) => m.race([() => 1], o),
  tournament: (o, { m, id }) => m.tournament(id, 1, o?.nonsense === 1 ? { prompt: "x", score: () => 1, ...o } : o),
  group: (o, { m }) => m.group(o),
  shutdownTree: (o, { m, id }) => m.shutdownTree(id, o),
  shutdown: (o, { m }) => m.shutdown(o),
};

export const AGENTS: Calls = {
  spawnAgent: (o, { c }) => c.spawnAgent({}, "x", o),
  sendPrompt: (o, { c, id }) => c.sendPrompt(id, "x", o),
  interrupt: (o, { c, id }) => c.interrupt(id, o),
  shutdownAgent: (o, { c, id }) => c.shutdownAgent(id, o),
  waitFor: (o, { c, id }) => c.waitFor([id], o),
  shutdownTree: (o, { c, id }) => c.shutdownTree(id, o),
};

export const GROUP: Calls = {
  startThread: (o, { g }) => g.startThread({}, o),
  add: (o, { g, id }) => g.add(id, o),
  group: (o, { g }) => g.group(o),
  stop: (o, { g }) => g.stop(o),
  quiet: (o, { g }) => g.quiet(o),
};

/** What an object's class can be asked for. */
const methodsOf = (value: object): string[] => {
  const prototype = Object.getPrototypeOf(value);
  return Object.getOwnPropertyNames(prototype).filter(
    (name) => name !== "constructor" && typeof Object.getOwnPropertyDescriptor(prototype, name)?.value === "function",
  );
};

/** No options of any call. */
const WRONG = [{ nonsense: 1 }, { signal: 1 }, { deadlineMs: "1" }, 5, "x", null, [], true] as const;

/** Each of the calls refuses what are no options of it. */
export async function refusesWrongOptions(which: string, calls: Calls, on: Given): Promise<void> {
  for (const [name, call] of Object.entries(calls)) {
    for (const options of WRONG) {
      const what = `${which}.${name}(${JSON.stringify(options)})`;
      await assert.rejects(
        async () => call(options, on),
        (error) => error instanceof InvalidRequestError || assert.fail(`${what}: ${String(error)}`),
        what,
      );
    }
  }
}

/** A method that is new has to say whether it takes options. */
export function namesAllMethods(which: string, of: object, known: readonly string[]): void {
  assert.deepEqual(methodsOf(of).toSorted(), known.toSorted(), which);
}
