/**
 * Every slash command of a stock TUI, typed in a terminal and then answered with Enter, on its own server and on ours: ours
 * makes it neither end nor complain where its own does not.
 */
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { Place } from "./place.ts";
import { Listener, type Program } from "./program.ts";
import type { Outcome } from "./step.ts";
import { clientEnv, Terminal } from "./tmux.ts";

const IDLE = "Ask Codex to do anything";
const LOOK_MS = 150;
const MENU_LONGEST = 120;
const ALARM = /panicked|backtrace|\bfailed\b|\berror\b|not found|unknown|unsupported|unrecognized|-32\d{3}|^\s*■/i;
type Seen = { readonly ended: boolean; readonly alarms: readonly string[] };

const alarmsOn = (screen: string): string[] =>
  screen
    .split("\n")
    .filter((line) => ALARM.test(line))
    .map((line) => line.replace(/[0-9a-f-]{36}|skein-clients-\w+|\d+/g, "…").trim());

/** A TUI on a server, that can be begun anew. */
class Typist implements AsyncDisposable {
  readonly #place: Place;
  readonly #server: Listener;
  readonly #binary: string;
  #tui: Terminal | undefined;
  #lives = 0;

  private constructor(place: Place, server: Listener, binary: string) {
    this.#place = place;
    this.#server = server;
    this.#binary = binary;
  }

  static async open(binary: string, program: Program): Promise<Typist> {
    const place = await Place.create();
    return new Typist(place, await Listener.start(program, place), binary);
  }

  /** At rest, after a turn. */
  async #ready(): Promise<Terminal> {
    if (this.#tui !== undefined && !this.#tui.hasEnded && (await this.#isCalm(this.#tui))) return this.#tui;
    this.#tui?.[Symbol.dispose]();
    this.#lives += 1;
    const { folder, work: cwd } = this.#place;
    const command = [this.#binary, "--remote", this.#server.url];
    const tui = new Terminal(join(folder, `tmux${this.#lives}`), command, { cwd, env: clientEnv(this.#place) });
    this.#tui = tui;
    await tui.see(IDLE);
    await tui.enter("hello");
    await tui.see("• ack: hello");
    return tui;
  }

  async #isCalm(tui: Terminal): Promise<boolean> {
    for (let key = 0; key < 4; key += 1) {
      if (tui.screen.includes(IDLE) && tui.screen.includes("? for shortcuts")) return true;
      tui.key(key === 3 ? "C-u" : "Escape");
      await pause(2 * LOOK_MS);
    }
    return false;
  }

  /** The names in the menu, in its order. */
  async menu(): Promise<string[]> {
    const tui = await this.#ready();
    tui.key("-l", "/");
    await tui.see("› /model");
    const names: string[] = [];
    for (let row = 0; row < MENU_LONGEST; row += 1) {
      await pause(LOOK_MS);
      const name = /^\s*› (\/[\w-]+)\s{2}/m.exec(tui.screen)?.[1];
      if (name === undefined || names[0] === name) break;
      if (names.at(-1) !== name) names.push(name);
      tui.key("Down");
    }
    tui.key("Escape");
    await tui.rest();
    tui.key("C-u");
    return names;
  }

  async type(name: string): Promise<Seen> {
    const tui = await this.#ready();
    const before = new Set(alarmsOn(tui.screen));
    await tui.enter(name);
    const shown = await tui.rest();
    if (!tui.hasEnded) tui.key("Enter");
    const then = tui.hasEnded ? "" : await tui.rest();
    const alarms = [...new Set(alarmsOn(`${shown}\n${then}`))].filter((line) => !before.has(line));
    return { ended: tui.hasEnded, alarms };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#tui?.[Symbol.dispose]();
    await this.#server[Symbol.asyncDispose]();
    await this.#place[Symbol.asyncDispose]();
  }
}

/** What each command leads to. */
async function typed(binary: string, program: Program): Promise<Map<string, Seen | Error>> {
  await using typist = await Typist.open(binary, program);
  const seen = new Map<string, Seen | Error>();
  for (const name of await typist.menu()) {
    seen.set(name, await typist.type(name).catch((error: Error) => error));
  }
  return seen;
}

/**
 * A step for each command of the menu, by the names of the programs, which are tried side by side. What the TUI does with its
 * own server is the measure, and has nothing to fail by.
 */
export async function checkSlash(binary: string, own: Program, ours: Program): Promise<Map<string, Outcome[]>> {
  const [measure, seen] = await Promise.all([typed(binary, own), typed(binary, ours)]);
  const outcomes = [...measure].map(([step, stock]): Outcome => {
    const problem = stock instanceof Error ? undefined : worse(stock, seen.get(step));
    return problem === undefined ? { step } : { step, problem };
  });
  return new Map([
    [own.name, [...measure.keys()].map((step) => ({ step }))],
    [ours.name, outcomes],
  ]);
}

/** Where its own server makes it complain too, ours may in other words. */
function worse(own: Seen, seen: Seen | Error | undefined): string | undefined {
  if (seen === undefined) return "it is not in the menu";
  if (seen instanceof Error) return seen.message;
  const more = seen.alarms.filter((line) => !own.alarms.includes(line));
  const isWorse = own.alarms.length === 0 || more.some((line) => /panicked|backtrace/.test(line));
  if (more.length > 0 && isWorse) return more.join("; ");
  return seen.ended && !own.ended ? "the TUI ended" : undefined;
}
