/** Chromium, where there is one: `SKEIN_CHROMIUM`, or one of the usual places. */
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";

const PLACES = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/usr/bin/google-chrome-stable",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];
const SHOTS = join(import.meta.dirname, "../../.cache/studio");

/** Of what is waited for: on a busy machine it comes late, and what never comes is a failure. */
export const DEADLINE_MS = 60_000;

/** @throws Error without one, where `SKEIN_REQUIRE_CHROMIUM` is set */
export function chromiumPath(): string | undefined {
  const { SKEIN_CHROMIUM, SKEIN_REQUIRE_CHROMIUM } = process.env;
  const found = [SKEIN_CHROMIUM, ...PLACES].find((path) => path !== undefined && path !== "" && existsSync(path));
  if (found === undefined && SKEIN_REQUIRE_CHROMIUM === "1") {
    throw new Error("no Chromium: install it (Debian package chromium), or say where it is by SKEIN_CHROMIUM");
  }
  return found;
}

/** For root, such as in CI, Chromium has no sandbox of its own. */
export const launch = (executablePath: string): Promise<Browser> =>
  chromium.launch({ executablePath, args: process.getuid?.() === 0 ? ["--no-sandbox"] : [] });

/** A page that fails its test by any error, and by any request that leaves the server. */
export type WatchedPage = { readonly page: Page; readonly problems: string[]; readonly requests: string[] };

export async function openPage(
  t: TestContext,
  browser: Browser,
  options: BrowserContextOptions = {},
): Promise<WatchedPage> {
  const context = await browser.newContext({ viewport: { width: 1600, height: 1000 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(DEADLINE_MS);
  const problems: string[] = [];
  const requests: string[] = [];
  page.on("pageerror", (error) => problems.push(`${error.message}\n${error.stack}`));
  page.on("console", (message) => {
    if (message.type() !== "error") return;
    // A server that is away is what some tests are about.
    if (!/ERR_CONNECTION_REFUSED|WebSocket connection|status of 401/.test(message.text()))
      problems.push(message.text());
  });
  page.on("request", (request) => requests.push(request.url()));
  t.after(() => context.close());
  return { page, problems, requests };
}

type TraceEvent = {
  readonly name: string;
  readonly pid: number;
  readonly tid: number;
  readonly tdur?: number;
  readonly args?: { readonly name?: string };
};

/** The longest task of the pages' main threads meanwhile, in milliseconds of the processor: others' work is not in it. */
export async function longestTaskMs(browser: Browser, page: Page, work: () => Promise<void>): Promise<number> {
  const categories = ["disabled-by-default-devtools.timeline", "__metadata"];
  await browser.startTracing(page, { categories });
  await work();
  const { traceEvents } = JSON.parse(String(await browser.stopTracing())) as { traceEvents: TraceEvent[] };
  const threadOf = ({ pid, tid }: TraceEvent) => `${pid} ${tid}`;
  const named = traceEvents.filter(({ name, args }) => name === "thread_name" && args?.name === "CrRendererMain");
  const mains = new Set(named.map(threadOf));
  const tasks = traceEvents.filter((event) => event.name === "RunTask" && mains.has(threadOf(event)));
  const longest = tasks.reduce((most, { tdur = 0 }) => Math.max(most, tdur / 1_000), 0);
  if (tasks.length < 100 || longest === 0) throw new Error(`the trace tells of ${tasks.length} tasks, without times`);
  return longest;
}

/** Kept as an artefact of the run. */
export async function shoot(page: Page, name: string): Promise<void> {
  mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: join(SHOTS, `${name}.png`) });
}
