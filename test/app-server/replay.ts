/**
 * Plays a recorded session of stock Codex against our server and compares what comes back: each answer with its answer,
 * and what is told and asked of each thread in its order. The server has a home of its own with a config.toml, and asks a
 * model behind real HTTP, which plays the scenario's script.
 *
 * A line of the client goes out when everything that had come before it in the recording has come here as well; so a
 * scenario that waits for a delta, or for a question, does so here. The client's answers to questions of the server are
 * the recorded ones. Where a recording has several connections, each has a client and a story of its own.
 */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { TestContext } from "node:test";
import { createAppServer } from "../../src/app-server/app-server.ts";
import { DEFAULT_TOOLS } from "../../src/app-server/default-tools.ts";
import { createGoalTools } from "../../src/app-server/memos/goal-tools.ts";
import { linkedWires } from "../../src/app-server/wire.ts";
import { openHome } from "../../src/manager/home.ts";
import { ThreadManager } from "../../src/manager/thread-manager.ts";
import type { BuiltInToolName } from "../../src/protocol/built-in-tool-names.ts";
import { ModelServer } from "../model/model-server.ts";
import { type ModelScript, replyOf } from "./model-plays.ts";
import { type Json, type Message, TestClient } from "./test-client.ts";
import {
  type ClientRow,
  Comparison,
  type ComparisonOptions,
  type FileRow,
  messageOf,
  type Row,
  readTranscript,
  storiesOf,
} from "./transcript.ts";

export type Scenario = {
  /** The recording in test/data/app-server. */
  name: string;
  /** What the model answers; default: `ack: ` and the user's text. */
  model?: ModelScript;
  /** How often the config lets a broken stream be asked for again; default 0. */
  streamRetries?: number;
  /** Other top level settings in config.toml, or others than those of every scenario. */
  settings?: Readonly<Record<string, string | number>>;
  /** More of config.toml, behind everything else. */
  config?: string;
  /** Makes what the folder of work and the user's home hold before the first process begins. */
  prepare?: (place: Place) => Promise<void>;
  /** Default: those of `skein app-server`. */
  tools?: readonly BuiltInToolName[];
  /** Answers that are others on purpose, by `process:id`: our error's text, or {@link ANSWERED}. */
  others?: Record<string, string>;
  /** Requests that are not made, by `process:id`, since stock Codex's own answer leads elsewhere from there. */
  left?: readonly string[];
  /** What of a model request is compared with the recorded one, where there is any: see Row. */
  asked?: (body: Json) => string[];
  /** Fields that may differ. */
  unseen?: ComparisonOptions["unseen"];
  /** What of both sides is compared; given all that was told and asked of one thread. */
  retell?: (story: readonly Message[]) => readonly Message[];
};

export type Place = { readonly home: string; readonly cwd: string; readonly userHome: string };

export const ANSWERED = "answered";

/** What a request that is not made would have told. */
const LEFT_TOLD = new Set(["deprecationNotice", "warning", "thread/status/changed"]);
const DEADLINE_MS = 20_000;

export async function replay(t: TestContext, scenario: Scenario): Promise<void> {
  const root = await realpath(await mkdtemp(join(tmpdir(), "skein-replay-")));
  t.after(() => rm(root, { recursive: true, force: true }));
  const place = { home: join(root, "ch"), cwd: join(root, "ws"), userHome: join(root, "home") };
  await using model = await ModelServer.start(replyOf(scenario.model));
  for (const folder of Object.values(place)) await mkdir(folder);
  await scenario.prepare?.(place);
  await writeFile(join(place.home, "config.toml"), configOf(scenario, model.baseUrl));
  const rows = readTranscript(scenario.name);
  const comparison = new Comparison({
    ...place,
    isWhole: !scenario.name.startsWith("0.87"),
    unseen: scenario.unseen,
  });
  for (const [index, session] of sessionsOf(rows).entries()) {
    const start = session.findIndex(({ dir }) => dir !== "file");
    for (const row of session.slice(0, start)) if (row.dir === "file") await writeInto(place.home, comparison, row);
    await using served = await serveHome(place, scenario);
    const parts = { rows: session.slice(start), index, comparison, home: place.home, connect: served.connect };
    await new Session(scenario, parts).play();
  }
  const { asked } = scenario;
  if (asked === undefined) return;
  const theirs = rows.flatMap((row) => (row.dir === "model" ? [row.input] : []));
  const ours = model.requests.map(({ body }) => asked(JSON.parse(body)));
  for (const [index, each] of theirs.entries()) comparison.equal(each, ours[index], `model request ${index}`);
  assert.equal(ours.length, theirs.length, "model requests");
}

/** The rows of each process. */
function sessionsOf(rows: readonly Row[]): Row[][] {
  const sessions: Row[][] = [[]];
  for (const row of rows) {
    if (row.dir === "note" && row.note.startsWith("--- app-server process")) sessions.push([]);
    else sessions.at(-1)?.push(row);
  }
  return sessions;
}

/** As `skein app-server` does, but for the line: it stays within this process. */
async function serveHome(
  { home: folder, cwd, userHome }: Place,
  { tools = DEFAULT_TOOLS }: Scenario,
): Promise<AsyncDisposable & { connect: () => TestClient }> {
  const env = { PATH: process.env.PATH, HOME: userHome, SHELL: "/bin/bash", TZ: "UTC" };
  const home = await openHome({ home: folder, env, cwd, typed: { builtInTools: tools }, sessionSource: "vscode" });
  const goalTools = createGoalTools();
  const manager = await ThreadManager.create({ ...home.options, tools: goalTools.tools });
  const server = createAppServer(manager, { home, cwd, goalTools });
  return {
    connect: () => {
      const wires = linkedWires();
      server.connect(wires.server);
      return new TestClient(wires.client);
    },
    [Symbol.asyncDispose]: async () => {
      await server.close();
      await manager.shutdown();
      await home.close();
    },
  };
}

const SETTINGS = {
  model: "gpt-5.1-codex",
  model_provider: "mock",
  approval_policy: "never",
  sandbox_mode: "danger-full-access",
};

const configOf = ({ streamRetries = 0, settings = {}, config = "" }: Scenario, baseUrl: string): string => `
${Object.entries({ ...SETTINGS, ...settings })
  .map(([name, value]) => `${name} = ${JSON.stringify(value)}`)
  .join("\n")}
${["mock", "other"]
  .map(
    (name) => `
[model_providers.${name}]
name = "${name}"
base_url = "${baseUrl}"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = ${streamRetries}
requires_openai_auth = false`,
  )
  .join("\n")}
${config}`;

type SessionParts = {
  rows: readonly Row[];
  index: number;
  comparison: Comparison;
  home: string;
  connect: () => TestClient;
};

/** One connection: our client, and what came over theirs so far, without what belongs to requests that are left out. */
type Line = { readonly client: TestClient; readonly theirs: Message[]; isClosed: boolean };

/** What one process was sent and said. */
class Session {
  readonly #scenario: Scenario;
  readonly #parts: SessionParts;
  readonly #lines = new Map<number, Line>();
  #isLeft = false;
  readonly #leftTurns = new Set<string>();

  constructor(scenario: Scenario, parts: SessionParts) {
    this.#scenario = scenario;
    this.#parts = parts;
  }

  async play(): Promise<void> {
    for (const [index, row] of this.#parts.rows.entries()) {
      if (row.dir === "file") await writeInto(this.#parts.home, this.#parts.comparison, row);
      else if (row.dir === "out") await this.#came(row.msg, index, this.#lineOf(row));
      else if (row.dir === "in") await this.#send(row, this.#lineOf(row));
      else if (row.dir === "note") await this.#closed(row);
    }
    await this.#untilAllCame();
    for (const line of this.#lines.values()) this.#compareStories(line);
  }

  #lineOf({ conn = 0 }: { conn?: number }): Line {
    const found = this.#lines.get(conn);
    if (found !== undefined) return found;
    const made: Line = { client: this.#parts.connect(), theirs: [], isClosed: false };
    this.#lines.set(conn, made);
    return made;
  }

  async #closed({ note, conn = 0 }: { note: string; conn?: number }): Promise<void> {
    const line = this.#lines.get(conn);
    if (!note.startsWith("websocket closed") || line === undefined) return;
    await this.#untilAllCame();
    line.isClosed = true;
    line.client.close();
  }

  async #send(row: ClientRow, line: Line): Promise<void> {
    await this.#untilAllCame();
    const { comparison } = this.#parts;
    const { client } = line;
    if ("raw" in row) {
      client.raw(row.raw);
      return;
    }
    const { id, method } = row.msg;
    this.#isLeft = method !== undefined && id !== undefined && this.#isLeftOut(id);
    if (this.#isLeft) return;
    if (method === undefined && id !== undefined) client.send({ ...row.msg, id: this.#ourQuestion(id, line) });
    else client.send(comparison.translate(row.msg));
  }

  #isLeftOut(id: string | number): boolean {
    return this.#scenario.left?.includes(`${this.#parts.index}:${id}`) === true;
  }

  /** The id of our question that stands where theirs stands among the questions of its method. */
  #ourQuestion(id: string | number, { client, theirs }: Line): string | number {
    const isQuestion = (message: Message) => message.method !== undefined && message.id !== undefined;
    const question = theirs.find((message) => isQuestion(message) && message.id === id);
    const alike = (message: Message) => isQuestion(message) && message.method === question?.method;
    const at = question === undefined ? -1 : theirs.filter(alike).indexOf(question);
    const ours = client.log.filter(alike)[at]?.id;
    assert.ok(ours !== undefined, `no question ${at} of ${question?.method}`);
    return ours;
  }

  async #came(message: Message, at: number, line: Line): Promise<void> {
    const { id, method, result } = message;
    if (method !== undefined) {
      if (!this.#isOfLeftTurn(message, at) && !(this.#isLeft && LEFT_TOLD.has(method))) line.theirs.push(message);
    } else if (id !== undefined && this.#isLeftOut(id)) {
      if (result?.turn !== undefined) this.#leftTurns.add(result.turn.id);
    } else if (id !== undefined) await this.#compareAnswer(message, id, { at, line });
  }

  /** What names no turn is told beside something that does: a status before it, the account's limits behind it. */
  #isOfLeftTurn({ method, params }: Message, at: number): boolean {
    const told = (row: Row | undefined) => (row?.dir === "out" && row.msg.method !== undefined ? row.msg : undefined);
    const { rows } = this.#parts;
    const beside =
      method === "thread/status/changed"
        ? told(rows.slice(at + 1).find((row) => told(row)?.params.threadId === params.threadId))
        : method === "account/rateLimits/updated"
          ? told(rows.slice(0, at).findLast((row) => told(row)?.method === "thread/tokenUsage/updated"))
          : undefined;
    const named = beside?.params ?? params;
    return this.#leftTurns.has(named?.turn?.id ?? named?.turnId);
  }

  async #compareAnswer(theirs: Message, id: string | number, { at, line }: { at: number; line: Line }): Promise<void> {
    const { comparison, index, rows } = this.#parts;
    const { client } = line;
    const { conn } = rows[at] as { conn?: number };
    const isAsked = (row: Row) => row.dir === "in" && row.conn === conn && messageOf(row)?.id === id;
    const asked = rows.slice(0, at).findLast(isAsked);
    const key = conn === undefined ? `${index}:${id}` : `${index}:${conn}:${id}`;
    const place = `answer ${key} ${messageOf(asked)?.method}`;
    await this.#until(place, line, () => client.log.some((message) => isAnswer(message, id)));
    const ours = client.log.find((message) => isAnswer(message, id));
    const other = this.#scenario.others?.[key];
    if (other !== undefined) assert.equal(ours?.error?.message ?? ANSWERED, other, place);
    else comparison.equal(shapeOf(theirs), shapeOf(ours ?? {}), place);
    this.#meetOthers();
  }

  /**
   * What nobody asked for is known by the order in which it was told of: threads, and the turns of each, but for 0.87's
   * turns, whose ids are numbers.
   */
  #meetOthers(): void {
    for (const line of this.#lines.values()) this.#meetOthersOf(line);
  }

  #meetOthersOf({ client, theirs: came }: Line): void {
    const { comparison } = this.#parts;
    const meet = (theirs: readonly string[], ours: readonly string[]) => {
      for (const [at, id] of theirs.entries()) {
        const isNew = id.includes("-") && !comparison.ids.has(id);
        if (isNew && ours[at] !== undefined) comparison.ids.set(id, ours[at]);
      }
    };
    meet(threadsOf(came), threadsOf(client.log));
    const turns = turnsByThread(came);
    const ourTurns = turnsByThread(client.log);
    for (const [threadId, ids] of turns) meet(ids, ourTurns.get(comparison.ids.get(threadId) ?? "") ?? []);
  }

  /** Until we have said of each method as much as they had. */
  async #untilAllCame(): Promise<void> {
    for (const line of this.#lines.values()) if (!line.isClosed) await this.#untilAllCameOver(line);
    this.#meetOthers();
  }

  async #untilAllCameOver(line: Line): Promise<void> {
    const { client, theirs } = line;
    const retell = (messages: readonly Message[]) => this.#retold(messages).flatMap(([, story]) => story);
    const wanted = Map.groupBy(retell(theirs), ({ method }) => method);
    const lacks = () => {
      const came = Map.groupBy(retell(client.log), ({ method }) => method);
      return [...wanted].filter(([method, all]) => (came.get(method)?.length ?? 0) < all.length);
    };
    await this.#until("what had come before", line, () => lacks().length === 0);
  }

  /** @throws AssertionError that shows the first difference, when the deadline is over */
  async #until(what: string, line: Line, isSo: () => boolean): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<"late">((resolve) => {
      timer = setTimeout(() => resolve("late"), DEADLINE_MS);
    });
    const outcome = await Promise.race([line.client.until(isSo), late]);
    clearTimeout(timer);
    if (outcome !== "late") return;
    this.#compareStories(line);
    assert.fail(`${what} did not come`);
  }

  #retold(messages: readonly Message[]): [string, readonly Message[]][] {
    const { name, retell = (story) => story } = this.#scenario;
    const known = name.startsWith("0.87") ? messages.filter(isKnownTo087) : messages;
    return [...storiesOf(known)].map(([id, story]) => [id, retell(story)]);
  }

  #compareStories({ client, theirs }: Line): void {
    const { comparison } = this.#parts;
    const told = new Map(this.#retold(client.log));
    for (const [id, story] of this.#retold(theirs)) {
      const own = told.get(comparison.ids.get(id) ?? id) ?? [];
      assert.deepEqual(
        own.map(({ method }) => method),
        story.map(({ method }) => method),
        `told of ${id}`,
      );
      for (const [index, each] of story.entries()) {
        const place = `told of ${id}: ${index} ${each.method}`;
        comparison.equal(each.params, own[index]?.params, place);
      }
    }
  }
}

/** What only newer versions tell. */
const isKnownTo087 = ({ method, params }: Message): boolean =>
  method !== "remoteControl/status/changed" &&
  !(method === "warning" && params.message.startsWith("Model metadata for "));

async function writeInto(home: string, comparison: Comparison, { path, text }: FileRow): Promise<void> {
  const file = join(home, path);
  if (text === null) return await rm(file);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, comparison.translate(text));
}

const threadsOf = (messages: readonly Message[]): string[] =>
  messages.flatMap(({ method, params }) => (method === "thread/started" ? [params.thread.id] : []));

function turnsByThread(messages: readonly Message[]): Map<string, string[]> {
  const started = messages.filter(({ method }) => method === "turn/started");
  const groups = [...Map.groupBy(started, ({ params }) => params.threadId as string)];
  return new Map(groups.map(([id, all]) => [id, all.map(({ params }) => params.turn.id)]));
}

const isAnswer = (message: Message, id: string | number): boolean => message.id === id && message.method === undefined;

/** The long list of methods is ours; the rest of an error is compared to the letter, but for our data. */
const shapeOf = ({ result, error }: Message) =>
  error === undefined
    ? { result }
    : {
        error: {
          code: error.code,
          message: /unknown variant|elided/.test(error.message) ? "unknown variant" : error.message,
        },
      };
